"""Training: pairs become a patch cache, a task goes through the loop, a fusion network comes out.

What others use of this room:

- ``prepare.prepare`` writes a cache of ``sources.source_pairs`` or ``hdf5.published_pairs``, which
  ``patches.PatchCache`` and ``CropSampler`` read; ``check.check_sets`` looks at pairs before they cost a day;
- ``presets.load_config`` and ``TrainConfig``: what decides a run; ``fusion.train``: the two stages;
- ``loop.Task`` and ``fit``, ``checkpoint.open_run``: training of anything else, with stop and resume;
- ``objectives``: the losses, by formula and source.
"""
