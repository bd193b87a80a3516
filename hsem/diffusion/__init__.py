"""The sampler (Section III): noise levels, equations 1 to 5, sampling and its inverse."""
