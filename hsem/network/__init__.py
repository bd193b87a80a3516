"""The U-Net, cut open at its bottleneck (SM A): the only room that knows diffusers."""
