"""Measurements that no command makes, as functions `(seeds, **options) -> numbers [seeds]` for claims and tests.

A claim names one as `study = "module:function"`. Tests call the same functions on seeds and sizes of their own.
"""

from experiments.studies.loops import learned, trained

__all__ = ["learned", "trained"]
