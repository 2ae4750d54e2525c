"""CUDA C of 3 x 3 convolutions that read each pixel once, and of their weights' gradient."""

from .mutants import planted_in

TILES = "tests/kernels/test_tiles.py"
WEIGHT = f"{TILES}::test_weight_runs"

MUTANTS = [
    *planted_in(
        "kernels/cuda/runs.cu",
        f"{TILES}::test_runs",
        {
            "runs: there are no zeros behind a row": (
                "int pitch() const { return width + 1; }",
                "int pitch() const { return width; }",
            ),
            "runs: nor below an image": (
                "row = take(image, height + 1);",
                "row = take(image, height);",
            ),
            "runs: what is pending is applied to zeros": (
                "            if (pixel < 0) continue;\n",
                "            if (pixel < 0) {\n"
                "                change(packs[number]);\n"
                "                continue;\n"
                "            }\n",
            ),
            "runs: the next weights are stored over those in use": (
                "__syncthreads();\n                if (is_last) continue;",
                "if (is_last) __syncthreads();\n                if (is_last) continue;",
            ),
            "runs: the next weights are read before they are there": (
                "                store_weights(tile);\n                __syncthreads();\n",
                "                store_weights(tile);\n",
            ),
            "runs: a run is loaded while others still multiply the one before": (
                "__syncthreads();\n                if (is_last) continue;",
                "if (!is_last) __syncthreads();\n                if (is_last) continue;",
            ),
            "runs: the next channels meet the weights of these": (
                "is_last ? from + DEPTH : from)",
                "from)",
            ),
            "runs: the kernel is not turned round for the gradient": (
                "across = DIRECTION > 0 ? tap : SIDE - 1 - tap",
                "across = tap",
            ),
            "runs: moments count positions, not pixels": (
                "__syncthreads_count(pixel >= 0 && step >= ahead",
                "__syncthreads_count(step >= ahead",
            ),
            "runs: results of zeros count in the moments": (
                "[&](int m) { return target[m] >= 0; }, count,",
                "[&](int m) { return true; }, count,",
            ),
            "runs: the gradient of zeros counts in the sums": (
                "        if (target[m] < 0) return;\n",
                "",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/runs_weight.cu",
        WEIGHT,
        {
            "weight runs: dy begins with the chunk": (
                "place = to - ahead + 2;",
                "place = to - ahead;",
            ),
            "weight runs: the last row of taps has no run": (
                "length = own + 2 * line.pitch();",
                "length = own + line.pitch();",
            ),
            "weight runs: a tap reads dy behind its pixel": (
                "grads[2 - tap], grads[3 - tap]",
                "grads[tap], grads[tap + 1]",
            ),
            "weight runs: rows of taps are turned round": (
                "q + row * pitch",
                "q + (SIDE - 1 - row) * pitch",
            ),
            "weight runs: a left fragment has its positions where channels belong": (
                "x[i / 2][0].channel[i % 2]",
                "x[i % 2][0].channel[i / 2]",
            ),
            "weight runs: bfloat16's second eight is the first again": (
                "of_two(i % 2, x[0][i / 2], x[1][i / 2])",
                "of_two(i % 2, x[0][0], x[1][0])",
            ),
            "weight runs: bfloat16's pairs change places": (
                "(first & 0xffff) | second << 16",
                "(second & 0xffff) | first << 16",
            ),
            "weight runs: results lie as their products do": (
                "{even[2 * tap], others[2 * tap], even[2 * tap + 1], others[2 * tap + 1]}",
                "{even[2 * tap], even[2 * tap + 1], others[2 * tap], others[2 * tap + 1]}",
            ),
            "weight runs: nobody waits for a chunk": (
                "        wait_for_copies<AHEAD - 1>();\n",
                "",
            ),
            "weight runs: others' copies are read before they are there": (
                "stages[stage], norm);\n        __syncthreads();",
                "stages[stage], norm);",
            ),
            "weight runs: the next chunk is copied over the one in use": (
                "stages[stage == 0 ? AHEAD : stage - 1]",
                "stages[stage]",
            ),
            "weight runs: what is pending is not applied": (
                "        if (x_mean) loader.normalise(stages[stage], norm);\n",
                "",
            ),
            "weight runs: what is pending is applied to zeros": (
                "if (!(these >> (round * E::PACKS + number) & 1)) continue;",
                "if (step(round, number) >= line.pitch()) continue;",
            ),
            "weight runs: the statistics are read before they are there": (
                "x_beta[c];\n    }\n    __syncthreads();",
                "x_beta[c];\n    }",
            ),
            "weight runs: warps multiply beyond the end of a part": (
                "* E::OF_A_WARP < end)",
                "* E::OF_A_WARP < end + E::CHUNK)",
            ),
            "weight runs: sums are stored while others still multiply": (
                "(stages);\n    __syncthreads();",
                "(stages);",
            ),
            "weight runs: a warp's sums are left out": (
                "for (int warp = 1; warp <",
                "for (int warp = 2; warp <",
            ),
            "weight runs: all slices count their arrivals together": (
                "counters + tile * counters_for",
                "counters + 0 * tile * counters_for",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/runs.py",
        WEIGHT,
        {
            "weight runs: a part ends within the positions of a warp": (
                "    part = blocks(part, engine.of_a_warp) * engine.of_a_warp\n",
                "",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/source.py",
        f"{TILES}::test_other_weight_gradients_go_by_windows",
        {
            "weight runs: channels that fill no slice are taken": (
                "not (channels % SLICE or filters % SLICE)",
                "not channels % SLICE",
            ),
        },
    ),
]
