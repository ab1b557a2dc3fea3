"""The biography world: invented people, what is written of them and what is asked about them.

Here so far: the lists that values are drawn from (`pools`), the sentences (`templates`), the
questions (`questions`), and how all text is cut into words (`words`).

Source: Physics of Language Models 3.1 (arXiv 2309.14316), 3.2 (2309.14402), 3.3 (2404.05405).
"""
