"""Speed, measured against slow twins and peers: `python -m physlm_jax.bench data|decode|train`."""
