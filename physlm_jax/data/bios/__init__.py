"""People and their biographies, questions about them, and the bits that models store of them.

Sources: Physics of Language Models, Parts 3.1 (arXiv 2309.14316), 3.2 (2309.14402) and 3.3
(2404.05405).
"""

from physlm_jax.data.bios import capacity
from physlm_jax.data.bios.biographies import Biographies, Span, Text, biography
from physlm_jax.data.bios.people import Person, Population
from physlm_jax.data.bios.pools import Pools, pools
from physlm_jax.data.bios.tasks import Tasks
from physlm_jax.data.bios.world import BiosWorld, world

__all__ = [
    "Biographies",
    "BiosWorld",
    "Person",
    "Pools",
    "Population",
    "Span",
    "Tasks",
    "Text",
    "biography",
    "capacity",
    "pools",
    "world",
]
