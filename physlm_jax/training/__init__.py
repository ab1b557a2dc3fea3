"""From a configuration to a trained checkpoint: optimizer, step, loop, checkpoints."""
