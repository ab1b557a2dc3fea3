"""Knowledge: how much a model stores, whether it can be got out, and what can be done with it.

Parts 3.1, 3.2 and 3.3 of Physics of Language Models. The scale `paper` has the papers' own sizes;
`laptop` a world of 40 x 40 x 100 names and few values, whose settings were chosen on seeds of no
claim. Many of the papers' figures are images whose cells are not known here. Sources: arXiv
2309.14316, 2309.14402 and 2404.05405.
"""

from physlm_jax.studies.knowledge_counted import COUNTED
from physlm_jax.studies.knowledge_stored import STORED
from physlm_jax.studies.knowledge_used import USED

CLAIMS = (*COUNTED, *STORED, *USED)
