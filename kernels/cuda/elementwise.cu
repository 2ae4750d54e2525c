// ReLU and the step of SGD, V values per thread; the last thread takes what is left one by one.

template <typename S, int V, typename T = Computed<S>>
__global__ void relu(const S* __restrict__ x, S* __restrict__ y, index_t size) {
    index_t i = thread_index() * V;
    if (i + V <= size) {
        Pack<T, V> values = load_map<V>(x + i);
#pragma unroll
        for (int v = 0; v < V; ++v) values.at[v] = positive_part(values.at[v]);
        store_map(y + i, values);
    } else {
        for (; i < size; ++i) y[i] = static_cast<S>(positive_part<T>(x[i]));
    }
}

template <typename S, int V, typename T = Computed<S>>
__global__ void relu_grad(
    const S* __restrict__ dy, const S* __restrict__ y, S* __restrict__ dx, index_t size
) {
    index_t i = thread_index() * V;
    if (i + V <= size) {
        Pack<T, V> values = load_map<V>(dy + i);
        const Pack<T, V> results = load_map<V>(y + i);
#pragma unroll
        for (int v = 0; v < V; ++v)
            if (!(results.at[v] > T(0))) values.at[v] = T(0);
        store_map(dx + i, values);
    } else {
        for (; i < size; ++i) dx[i] = y[i] > T(0) ? dy[i] : static_cast<S>(T(0));
    }
}

// velocity = momentum * velocity + (grad + weight_decay * parameter); parameter -= lr * velocity.
template <typename T>
__device__ void sgd(T& parameter, T grad, T& velocity, T lr, T momentum, T weight_decay) {
    velocity = momentum * velocity + (grad + weight_decay * parameter);
    parameter -= lr * velocity;
}

template <typename T, int V>
__global__ void sgd_step(
    T* __restrict__ parameter, const T* __restrict__ grad, T* __restrict__ velocity,
    const T* __restrict__ rate, T momentum, T weight_decay, index_t size
) {
    const T lr = *rate;
    index_t i = thread_index() * V;
    if (i + V <= size) {
        Pack<T, V> values = load<V>(parameter + i), speeds = load<V>(velocity + i);
        const Pack<T, V> grads = load<V>(grad + i);
#pragma unroll
        for (int v = 0; v < V; ++v)
            sgd(values.at[v], grads.at[v], speeds.at[v], lr, momentum, weight_decay);
        store<V>(parameter + i, values);
        store<V>(velocity + i, speeds);
    } else {
        for (; i < size; ++i) sgd(parameter[i], grad[i], velocity[i], lr, momentum, weight_decay);
    }
}
