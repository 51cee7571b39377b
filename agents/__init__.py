"""Agents and the losses they are made of.

Submodules load when they are first named, so `import agents` needs nothing but Python and `from agents import losses`
loads the losses alone.
"""
