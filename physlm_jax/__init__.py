"""A laboratory in JAX for controlled experiments on language models.

The way of the data, left to right (nothing on the left imports anything to its right):
`data` (worlds and oracles) -> `pipeline` -> `parallel`, `models` -> `training` -> `decoding`,
`probes` -> `studies` -> `report`.
"""

__version__ = "0.1.0"
