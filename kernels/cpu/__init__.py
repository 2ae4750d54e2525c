"""The kernels in Numba, float32."""
