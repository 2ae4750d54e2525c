"""Replayed steps: what a graph repeats though it should not, and what it should but does not."""

from .mutants import planted_in

REPLAY, GRAPH = "tests/training/test_replay.py", "tests/test_cuda_graph.py"
SIDE = "tests/training/test_side_by_side.py"
BITS = f"{REPLAY}::test_a_run_gives_the_same_bits"
BY_HAND = f"{REPLAY}::test_a_run_is_the_loop_that_one_would_write"
CHANGES = f"{REPLAY}::test_a_change_is_followed"
AS_IT_IS = f"{REPLAY}::test_what_cannot_be_replayed_runs_as_it_is_and_says_so_once"

MUTANTS = [
    *planted_in(
        "minires/optim.py",
        BY_HAND,
        {
            "replay: the learning rate of the recording is used for ever": (
                "lr=self.lr_for_kernels,",
                "lr=self.lr,",
            ),
            "replay: the learning rate is moved on, but not the one that the GPU reads": (
                "        if self.flat and value != self._lr:\n",
                "        if self.flat and not self._lr:\n",
            ),
        },
    ),
    *planted_in(
        "minires/data/resident.py",
        BITS,
        {
            "replay: every epoch has the order of the first": (
                "                array[...] = new\n",
                "                pass\n",
            ),
            "replay: the order of an epoch goes to another place than the graph reads": (
                "            for array, new in zip(self.choices, fresh, strict=True):\n"
                "                array[...] = new\n",
                "            self.choices = fresh\n",
            ),
            "replay: the position is not moved on": ("        self.position += 1\n", ""),
            "replay: the position is not put back for a new epoch": (
                "if place == 0 or step != self.due:",
                "if step != self.due:",
            ),
            "replay: the crops of the epoch before": (
                "steps = range(epoch * len(self), (epoch + 1) * len(self))",
                "steps = range(max(0, epoch - 1) * len(self), max(1, epoch) * len(self))",
            ),
        },
    ),
    *planted_in(
        "minires/data/resident.py",
        f"{REPLAY}::test_a_resumed_run_gives_the_same_bits",
        {
            "replay: a resumed run starts with the first batch of the epoch": (
                "self.position.fill(place)",
                "self.position.fill(0)",
            ),
        },
    ),
    *planted_in(
        "minires/training/trainer.py",
        f"{BITS} {BY_HAND}",
        {
            "replay: images are counted by the graph's Python": (
                "        self.tally.sum(loss, logits, labels)\n",
                "        self.tally.add(loss, logits, labels)\n",
            ),
            "replay: a step that is looked at is updated twice": (
                "self.replay(self.make_gradients)\n",
                "self.replay(self.make_gradients_and_update)\n",
            ),
            "replay: the batch is looked for by the graph's Python": (
                "images, labels = self.batches.next()",
                "images, labels = self.batches.batch(self.step)",
            ),
        },
    ),
    *planted_in(
        "minires/training/replay.py",
        CHANGES,
        {
            "replay: exchanged buffers are not noticed": (
                "            found += attributes[registry].values()\n",
                "            pass\n",
            ),
            "replay: modes and settings are not looked at": (
                "        found += attributes.values()\n",
                "",
            ),
            "replay: what lies elsewhere now is not noticed": (
                "(parameter, parameter.data, parameter.grad_buffer, parameter.requires_grad)",
                "(parameter, parameter.requires_grad)",
            ),
            "replay: old recordings are kept after a change": (
                "        self.seen = now\n        self.forget()\n",
                "        self.seen = now\n",
            ),
        },
    ),
    *planted_in(
        "minires/training/replay.py",
        f"{REPLAY}::test_fusing_switched_off_is_followed",
        {
            "replay: fusing is switched off unnoticed": (
                "precision.current(), is_on()]",
                "precision.current()]",
            ),
        },
    ),
    *planted_in(
        "minires/training/replay.py",
        AS_IT_IS,
        {
            "replay: what failed to be recorded is left out": (
                "            self.give_up(str(error))\n            part()\n",
                "            self.give_up(str(error))\n",
            ),
            "replay: the masks of dropout are drawn once more for a recording": (
                "np.ndarray | np.random.Generator",
                "np.random.Generator",
            ),
            "replay: it is said in every step": (
                "            self.told.add(reason)\n",
                "",
            ),
        },
    ),
    *planted_in(
        "minires/training/replay.py",
        f"{REPLAY}::test_a_hook_sees_every_step_while_it_is_there",
        {
            "replay: hooks are not called": (
                '        return "is watched by a hook"\n',
                '        return ""\n',
            ),
            "replay: once given up, for ever": (
                '        self.reason = ""\n        own',
                "        own",
            ),
        },
    ),
    *planted_in(
        "minires/training/replay.py",
        f"{REPLAY}::test_what_others_do_between_steps_disturbs_nothing "
        f"{REPLAY}::test_memory_is_given_back_after_the_run",
        {
            "replay: gradients that somebody has forgotten stay so": (
                "            parameter.grad = grad\n",
                "            pass\n",
            ),
            "replay: memory is kept after the run": (
                "        self.seen = []\n        self.forget()\n",
                "        self.seen = []\n",
            ),
        },
    ),
    *planted_in(
        "minires/training/replay.py",
        f"{REPLAY}::test_recordings_are_let_go_only_when_they_have_run",
        {
            "replay: recordings are let go while they run": (
                "            wait_for_stream()\n",
                "            pass\n",
            ),
        },
    ),
    *planted_in(
        "minires/training/side_by_side.py",
        f"{SIDE}::TestOnAGPU::test_each_has_a_stream_of_its_own",
        {
            "side by side: all on one stream": (
                "            self.stream = own_stream()\n",
                "            pass\n",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/launch.py",
        f"{SIDE}::TestOnAGPU::test_recordings_of_two_networks_have_no_memory_in_common",
        {
            "side by side: streams count their arrivals together": (
                "counters_of_stream(cupy, cupy.cuda.get_current_stream().ptr)",
                "counters_of_stream(cupy, 0)",
            ),
        },
    ),
    *planted_in(
        "minires/cuda_graph.py",
        GRAPH,
        {
            "graph: the step is recorded, and not done": (
                "        self.recording.launch()\n        return self.result\n\n\ndef",
                "        return self.result\n\n\ndef",
            ),
            "graph: a step is done once more to warm up": (
                "        with recorder.at_work():\n",
                "        with recorder.at_work():\n            self.step()\n",
            ),
            "graph: work of the CPU is recorded, and never done again": (
                "return self.record(self.recorder) if self.recorder.has_worked() else self.step()",
                "return self.record(self.recorder)",
            ),
        },
    ),
    *planted_in(
        "kernels/recording.py",
        GRAPH,
        {
            "recording: its memory comes from the pool that all share": (
                "with self.stream, self.cupy.cuda.using_allocator(self.pool.malloc):",
                "with self.stream:",
            ),
            "recording: a new pool for the recording, which dies with it": (
                "using_allocator(self.pool.malloc)",
                "using_allocator(self.cupy.cuda.MemoryPool().malloc)",
            ),
            "recording: a failed one is not ended": (
                "                    self.stream.end_capture()\n                if",
                "                    pass\n                if",
            ),
            "recording: what the graph works in is kept by nobody": (
                "        self.graph, self.recorder = graph, recorder\n",
                "        self.graph = graph\n        recorder.pool.free_all_blocks()\n",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/augment.cu",
        "tests/kernels/test_contract.py::test_epoch_batch -k cuda",
        {
            "epoch_batch: the order is left out": ("images + order[place]", "images + place"),
            "epoch_batch: the crops of the first batch for all": (
                "offsets + 2 * place",
                "offsets + 2 * image",
            ),
            "epoch_batch: labels in the order of the data": (
                "classes[image] = labels[order[place]]",
                "classes[image] = labels[place]",
            ),
        },
    ),
]
