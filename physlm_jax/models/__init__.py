"""Networks: Flax NNX modules with every axis named, used as pure functions of plain dicts."""
