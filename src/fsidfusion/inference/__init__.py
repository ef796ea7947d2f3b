"""From a pair of pictures to the fused one."""
