"""Probes of knowledge: how much is stored, where it is stored, and what can be done with it.

Source: Physics of Language Models, Parts 3.1 (arXiv 2309.14316), 3.2 (2309.14402) and 3.3
(2404.05405).
"""
