"""Bugs in what several ranks do: sums, shards, dealing, and who waits for whom."""

from .mutants import planted_in

PIECES, RANKS = "tests/distributed/test_pieces.py", "tests/distributed/test_ranks.py"
SAME_BITS = (
    f"{RANKS}::test_shards_have_the_same_bits_on_1_2_and_4_ranks_stopped_and_resumed_between"
)
FROZEN = f"{PIECES}::test_with_frozen_batch_norm_shards_are_the_whole_batch"
STATISTICS = f"{PIECES}::test_running_statistics_follow_the_mean_over_shards"
ON_GPU = "tests/distributed/test_shards_on_gpu.py::test_it_is_what_the_cpu_computes"
GPUS = "tests/distributed/test_gpus.py"
MASKS = f"{PIECES}::test_each_shard_has_a_dropout_mask_of_its_own_on_whichever_rank"
CALLS, DEALT = (
    f"{RANKS}::test_a_world_of_four",
    f"{RANKS}::test_dealt_runs_are_those_of_one_process",
)
HARM = f"{RANKS}::test_harm_done_to_one_rank_ends_all_and_the_checkpoint_goes_on"

MUTANTS = [
    *planted_in(
        "minires/distributed/tree.py",
        f"{PIECES}::test_vectors_one_by_one_and_all_at_once_have_one_sum",
        {
            "tree: the halves are added instead of neighbours": (
                "rows[0::2] + rows[1::2]",
                "rows[: len(rows) // 2] + rows[len(rows) // 2 :]",
            ),
            "tree: vectors are added in their order": (
                "while self.sums and self.sums[-1][0] == count:",
                "while self.sums:",
            ),
        },
    ),
    *planted_in(
        "minires/distributed/shards.py",
        FROZEN,
        {
            "shards: the sum for the mean": ("mean /= self.count", "mean /= 1"),
            "shards: divided twice": ("mean /= self.count", "mean /= self.count**2"),
            "shards: weights decay twice": (
                "                parameter.grad = view\n",
                "                parameter.grad = view + 0.1 * parameter.data\n",
            ),
            "shards: frozen statistics move": (
                "            if norm.training:\n                follow",
                "            if True:\n                follow",
            ),
        },
    ),
    *planted_in(
        "minires/distributed/shards.py",
        STATISTICS,
        {
            "shards: statistics move by each shard": (
                "norm.momentum = mean, var, 1.0",
                "norm.momentum = mean, var, 0.5",
            ),
            "shards: mean and variance change places": (
                "norm.running_mean, norm.running_var, norm.momentum = mean, var",
                "norm.running_mean, norm.running_var, norm.momentum = var, mean",
            ),
        },
    ),
    *planted_in(
        "minires/distributed/shards.py",
        MASKS,
        {
            "shards: one mask for all": ("dropout.batches += shard", "dropout.batches += 0"),
            "shards: masks come again in the next step": (
                "self.count * dropout.training",
                "dropout.training",
            ),
        },
    ),
    *planted_in(
        "minires/distributed/shards.py",
        SAME_BITS,
        {
            "shards: every rank computes the first ones": (
                "range(world.rank * per_rank, (world.rank + 1) * per_rank)",
                "range(per_rank)",
            ),
            "shards: only the own losses count": (
                "return self.world.gather(rows)",
                "return rows",
            ),
        },
    ),
    *planted_in(
        "minires/distributed/mpi.py",
        SAME_BITS,
        {
            "world: only the own wish to stop counts": (
                "bool(self.gather(np.array([flag])).any())",
                "flag",
            ),
        },
    ),
    *planted_in(
        "minires/distributed/shards.py",
        ON_GPU,
        {
            "shards: a GPU's gradient is that of the last shard": (
                "            flat.grad[...] = view\n",
                "            pass\n",
            ),
            "shards: a GPU makes the variance unbiased twice": ("count=MANY", "count=32"),
            "shards: statistics are looked for behind as many parts as parameters": (
                "len(views) - 2 * len(self.norms)",
                "2 * len(self.norms)",
            ),
        },
    ),
    *planted_in(
        "minires/training/trainer.py",
        FROZEN,
        {
            "trainer: the loss of the last shard alone": (
                "self.tally.totals += row",
                "self.tally.totals[...] = row",
            ),
        },
    ),
    *planted_in(
        "minires/distributed/tree.py",
        CALLS,
        {
            "tree: ranks are added in another order": (
                "collect(tree_sum(slices), whole)",
                "collect(slices[::-1].cumsum(0)[-1], whole)",
            ),
        },
    ),
    *planted_in(
        "minires/distributed/mpi.py",
        CALLS,
        {
            "world: rank 0 alone sees its error": (
                "return settled(self.comm.bcast(outcome))",
                "return settled(self.comm.bcast(outcome) if self.rank else outcome_of(compute))",
            ),
            "world: all act at once": (
                "            self.wait()\n        for _",
                "            pass\n        for _",
            ),
            "world: every rank uses all cores": ("// len(sharing))", "// 1)"),
        },
    ),
    *planted_in(
        "minires/distributed/watch.py",
        f"{HARM}",
        {
            "watch: nobody hears that a rank has ended": ("self.gone.add(rank)", "pass"),
            "watch: an exception ends one rank only": (
                "        sys.excepthook = self.fail\n",
                "",
            ),
        },
    ),
    *planted_in(
        "minires/training/trainer.py",
        SAME_BITS,
        {
            "trainer: shards count beside their rows": (
                "self.tally.totals = self.tally.totals, row",
                "self.tally.totals = self.tally.totals, self.tally.totals",
            ),
        },
    ),
    *planted_in(
        "minires/training/trainer.py",
        HARM,
        {
            "trainer: ranks drift apart unseen": (
                "            self.compare_ranks()\n",
                "",
            ),
        },
    ),
    *planted_in(
        "minires/distributed/nccl.py",
        f"{GPUS}::test_a_world_of_gpus",
        {
            "nccl: every rank gets the slice of rank 0": (
                "send(*where(sent[rank])",
                "send(*where(sent[0])",
            ),
            "nccl: all slices are received in one place": (
                "recv(*where(received[rank])",
                "recv(*where(received[0])",
            ),
        },
    ),
    *planted_in(
        "minires/distributed/nccl.py",
        f"{GPUS}::test_a_single_rank_sums_through_nccl",
        {
            "nccl: no group": ("        self.nccl.groupStart()\n", ""),
            "nccl: doubles are sent as floats": (
                '"d": self.nccl.NCCL_FLOAT64',
                '"d": self.nccl.NCCL_FLOAT32',
            ),
            "nccl: bytes are counted": ("return array.size, ", "return array.nbytes, "),
        },
    ),
    *planted_in(
        "minires/distributed/nccl.py",
        f"{GPUS}::test_a_training_through_nccl_is_replayed_with_the_same_bits",
        {
            "nccl: always the default stream": (
                "int(cupy().cuda.get_current_stream().ptr)",
                "0",
            ),
        },
    ),
    *planted_in(
        "minires/training/trainer.py",
        f"{GPUS}::test_a_training_through_nccl_is_replayed_with_the_same_bits",
        {
            "trainer: the communicator ends before the recordings": (
                "with ExitStack() as held, self.replay:",
                "with self.replay, ExitStack() as held:",
            ),
        },
    ),
    *planted_in(
        "minires/distributed/nccl.py",
        f"{GPUS}::test_ranks_with_the_same_gpu_get_a_sentence",
        {
            "nccl: two ranks have one GPU": ("if len(sharing) > 1:", "if len(sharing) > 2:"),
        },
    ),
    *planted_in(
        "minires/distributed/mpi.py",
        f"{GPUS}::test_a_world_of_gpus",
        {
            "world: a GPU's array comes to MPI": ("on_host = to_host(array)", "on_host = array"),
        },
    ),
    *planted_in(
        "minires/distributed/mpi.py",
        f"{GPUS}::test_two_gpus_have_the_bits_of_one_stopped_and_resumed_between",
        {
            "world: GPUs stay connected": (
                "            nccl.close(failed=failure is not None)\n",
                "            pass\n",
            ),
        },
    ),
    *planted_in(
        "minires/training/replay.py",
        f"{GPUS}::test_what_concerns_one_rank_concerns_all",
        {
            "replay: a rank decides for itself": ("self.agree(own)", "own"),
        },
    ),
    *planted_in(
        "minires/data/batches.py",
        f"{PIECES}::test_ranks_share_an_evaluation_and_its_bits_stay",
        {
            "evaluation: every rank takes all batches": ("every * batch_size)", "batch_size)"),
        },
    ),
    *planted_in(
        "minires/evaluation/evaluate.py",
        "tests/evaluation/test_evaluate.py::test_ranks_share_the_images_and_find_what_one_finds",
        {
            "evaluate: every rank takes all images": ("% world.size == world.rank]", ">= 0]"),
            "evaluate: what one rank finds is what all find": (
                "r in results]) for",
                "r in results[:1]]) for",
            ),
        },
    ),
    *planted_in(
        "minires/distributed/watch.py",
        f"{RANKS}::test_a_rank_that_hangs_is_named_and_all_are_ended",
        {
            "watch: who waits is blamed": ("- set(waiting))", "& set(waiting))"),
            "watch: nobody is ended": ("if seconds > self.limit:", "if False:"),
        },
    ),
    *planted_in(
        "minires/training/checkpoints.py",
        SAME_BITS,
        {
            "checkpoint: the meters are not taken over": (
                "        setattr(trainer.records, meter, Meter(**state[meter]))",
                "        pass",
            ),
        },
    ),
    *planted_in(
        "minires/training/dealing.py",
        f"{PIECES}::test_the_longest_runs_are_dealt_first",
        {
            "dealing: the shortest first": (
                "key=lambda run: -costs[run]",
                "key=lambda run: costs[run]",
            ),
            "dealing: in turn, however long": ("work.index(min(work))", "run % players"),
        },
    ),
    *planted_in(
        "minires/training/dealing.py",
        DEALT,
        {
            "dealing: other ranks' networks stay untrained": (
                "        trainers[number].restore()\n",
                "        pass\n",
            ),
            "dealing: every rank trains all": (
                "trainers[number] for number in hands[ranks.rank // size]}",
                "trainers[number] for number in range(len(trainers))}",
            ),
        },
    ),
    *planted_in(
        "minires/training/dealing.py",
        f"{RANKS}::test_dealt_runs_that_are_stopped_stop_all_of_a_rank",
        {
            "dealing: Ctrl-C stops one run, and the next begins": (
                "            break\n",
                "            pass\n",
            ),
        },
    ),
    *planted_in(
        "minires/distributed/mpi.py",
        f"{RANKS}::test_a_launcher_of_another_mpi_gets_a_sentence",
        {"world: N processes are N times rank 0": ("if comm.size != here.size:", "if False:")},
    ),
    *planted_in(
        "minires/experiments/depths.py",
        f"{RANKS}::test_an_experiment_trains_its_last_network_on_one_rank",
        {
            "experiments: all ranks train in one folder": (
                "if world().rank == 0 else []",
                "if True else []",
            ),
        },
    ),
    *planted_in(
        "minires/training/recipes.py",
        f"{PIECES}::test_numbers_that_do_not_fit_get_a_sentence",
        {
            "recipe: whether shards fit is seen in the first step": (
                "            refuse_what_does_not_fit(self.shards, self.batch_size)\n",
                "            pass\n",
            ),
        },
    ),
    *planted_in(
        "minires/distributed/launcher.py",
        PIECES,
        {
            "launcher: a batch script of Slurm takes itself for several": (
                '"SLURM_STEP_NUM_TASKS"',
                '"SLURM_NTASKS"',
            ),
            "launcher: MPI is imported for a single process": (
                "if here.size == 1:",
                "if False:",
            ),
            "launcher: without mpi4py all are rank 0 of 1": (
                "except (ImportError, RuntimeError) as error:\n",
                "except (ImportError, RuntimeError) as error:\n        return ALONE\n",
            ),
            "launcher: several processes train one network": (
                "if (size := place().size) > 1:",
                "if (size := place().size) > 9:",
            ),
            "launcher: a single process that is tied to a core is not told": (
                "tell_of_unused_cores([available_cores()])",
                "pass",
            ),
        },
    ),
    *planted_in(
        "minires/distributed/launcher.py",
        f"{PIECES}::test_a_process_takes_no_gpu_that_it_may_not",
        {
            "launcher: an empty list of GPUs is all of them": (
                "if given is None else given.split",
                "if not given else given.split",
            ),
        },
    ),
]
