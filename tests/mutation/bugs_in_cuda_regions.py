"""CUDA kernels of regions: samples, bins, gradients that gather, and suppression in groups."""

from .mutants import planted_in

REGIONS = "tests/kernels/test_regions.py"
DETECTOR = "tests/detection/test_on_a_gpu.py"
OWN = "tests/kernels/test_cuda_regions.py"
ALIGN = f"{OWN}::test_roi_align_has_the_bits_of_the_cpu"
MAX_POOL = f"{REGIONS}::test_roi_max_pool_and_its_gradient -k cuda"
NMS = f"{REGIONS}::test_nms {OWN}::test_nms_in_groups -k cuda"
MISSING = f"{OWN}::test_an_image_that_is_not_there_is_never_followed_into_memory"

MUTANTS = [
    *planted_in(
        "kernels/cuda/regions.cu",
        ALIGN,
        {
            "roi_align on a GPU: aligned or not is the same": ("aligned ? 0.5 : 0.0", "0.0"),
            "roi_align on a GPU: empty regions have no length": (
                "    if (!aligned) length = max(length, 1.0);\n",
                "",
            ),
            "roi_align on a GPU: samples beyond the edge count as none": (
                "at >= -1 &&",
                "at >= 0 &&",
            ),
            "roi_align on a GPU: samples outside count": (
                "        if (!(at >= -1 && at <= pixels)) continue;\n",
                "",
            ),
            "roi_align on a GPU: a sample has one pixel": (
                "        if (second == pixel) share += (at - first) / samples;\n",
                "",
            ),
            "roi_align on a GPU: the sampling ratio is overlooked": (
                "sampling > 0 ? double(sampling) : ceil(step)",
                "ceil(step)",
            ),
            "roi_align on a GPU: a bin's last pixel is left out": (
                "high = max(high, second + 1)",
                "high = max(high, second)",
            ),
            "roi_align_grad on a GPU: regions of all images count": (
                "        if (regions.images[r] != image) continue;\n",
                "",
            ),
            "roi_align_grad on a GPU: a pixel's last bin is left out": (
                "q < regions.bins_across; ++q) {",
                "q < regions.bins_across - 1; ++q) {",
            ),
            "roi_align_grad on a GPU: regions are added last to first": (
                "    for (index_t r = 0; r < regions.count; ++r) {",
                "    for (index_t r = regions.count - 1; r >= 0; --r) {",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/regions.cu",
        f"{OWN}::test_samples_lie_where_the_cpu_has_them",
        {
            "roi_align on a GPU: a bin's start is fused into its sum": (
                "__dmul_rn(bin, step)",
                "bin * step",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/regions.cu",
        MAX_POOL,
        {
            "roi_max_pool on a GPU: halves go to the even side": ("round(value)", "rint(value)"),
            "roi_max_pool on a GPU: the last pixel is outside": (
                "max(last - first + 1, index_t(1))",
                "max(last - first, index_t(1))",
            ),
            "roi_max_pool on a GPU: bins do not overlap": (
                "((bin + 1) * length + bins - 1) / bins",
                "(bin + 1) * length / bins",
            ),
            "roi_max_pool on a GPU: bins reach below the map": (
                "min(max(first + edges[i], index_t(0)), pixels)",
                "max(first + edges[i], index_t(0))",
            ),
            "roi_max_pool on a GPU: the last of equals wins": ("value > least", "value >= least"),
            "roi_max_pool on a GPU: negative values lose to nothing": (
                "winner.at[v] < 0 || value > least",
                "value > least",
            ),
            "roi_max_pool on a GPU: a NaN loses": (
                " || (value != value && least == least)) {",
                ") {",
            ),
            "roi_max_pool_grad on a GPU: a warp's last lanes are not asked": (
                "offset > 0; offset /= 2",
                "offset > 1; offset /= 2",
            ),
            "roi_max_pool_grad on a GPU: rows and columns of winners are swapped": (
                "down ? place / columns : place % columns",
                "down ? place % columns : place / columns",
            ),
            "roi_max_pool_grad on a GPU: all bins that touch a pixel count": (
                "            if (winners.at[v] == place) total.at[v] += grads.at[v];",
                "            total.at[v] += grads.at[v];",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/regions.cu",
        MISSING,
        {
            "roi_align on a GPU: a wrong image is followed into memory": (
                "    const bool is_there = image >= 0 && image < batch;\n"
                "    x += image * height * width * channels + channel;\n"
                "    Pack<T, V> total;",
                "    const bool is_there = image >= 0;\n"
                "    x += image * height * width * channels + channel;\n"
                "    Pack<T, V> total;",
            ),
            "roi_max_pool on a GPU: what is pooled from no image is 0": (
                "best.at[v] = is_there ? T(0) : T(0) / T(0)",
                "best.at[v] = T(0)",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/regions.cu",
        f"{OWN}::test_boxes_that_have_no_place_on_a_map_end_all_the_same",
        {
            "roi_max_pool on a GPU: a corner is too large for whole numbers": (
                "return max(min(round(value), 0x1p40), -0x1p40);",
                "return round(value);",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/regions.cu",
        NMS,
        {
            "nms on a GPU: what is suppressed suppresses": (
                "if (!(out >> k & 1)) {",
                "if (true) {",
            ),
            "nms on a GPU: only boxes of one group suppress each other": (
                "            gone[word] |= out;\n",
                "            gone[word] |= 0;\n",
            ),
            "nms on a GPU: boxes are marked before it is known who stays": (
                "        __syncthreads();\n        for (index_t word",
                "        for (index_t word",
            ),
            "nms on a GPU: the last group is as large as others": (
                "min(count - first, index_t(GROUP))",
                "index_t(GROUP)",
            ),
            "nms on a GPU: an overlap on the threshold is too much": (
                "(areas - shared) > threshold",
                "(areas - shared) >= threshold",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/regions.cu",
        f"{OWN}::test_an_overlap_that_is_the_threshold_itself_is_not_above_it",
        {
            "nms on a GPU: an area is fused into the sum of both": (
                "__dmul_rn(u2 - u1, v2 - v1)",
                "(u2 - u1) * (v2 - v1)",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/regions.cu",
        f"{OWN}::test_more_groups_of_boxes_than_threads",
        {
            "nms on a GPU: groups beyond the threads are not marked": (
                "word < words; word += threads)",
                "word < min(words, group + 1 + threads); word += threads)",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/regions.py",
        f"{OWN}::test_packs_of_channels",
        {
            "regions on a GPU: packs cross the last channel": ("sizes=(x_shape[3],)", "sizes=()"),
        },
    ),
    *planted_in(
        "minires/nn/regions.py",
        f"{DETECTOR}::test_a_detector_finds_what_it_finds_on_the_cpu",
        {
            "regions on a GPU: their boxes stay on the host": ("move(boxes, x.device)", "boxes"),
        },
    ),
    *planted_in(
        "minires/autograd/picking.py",
        f"{DETECTOR}::test_a_pyramid_picks_maps_and_enlarges_them",
        {
            "an index on the host stays there": (
                "move(p, device) if isinstance(p, np.ndarray) else p",
                "p",
            ),
        },
    ),
    *planted_in(
        "minires/detection/proposals.py",
        f"{DETECTOR}::test_a_step_waits_once_for_the_gpu",
        {
            "proposals: each image waits for the GPU": (
                "            parts.append(of_level(one, ",
                "            to_host(level.logits.data)\n            parts.append(of_level(one, ",
            ),
        },
    ),
    *planted_in(
        "minires/detection/sets.py",
        f"{DETECTOR}::test_two_trainings_have_the_same_bits_and_so_has_one_gone_on_with",
        {
            "batches: a stream begins with the first batch": (
                "self.made(step + n)",
                "self.made(n)",
            ),
        },
    ),
]
