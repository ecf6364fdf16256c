"""Recipes: a diagnosis as an augmentation pipeline that an ML engineer can use without us.

- recipe: the file, what it holds, and the recipe at work
- overlays: textures that were measured on failing images, laid over others

`from inspection.recipes import RecipeTransform, load_recipe` is what a recipe's own header says.
"""

from inspection.recipes.recipe import Recipe, RecipeTransform, load_recipe

__all__ = ["Recipe", "RecipeTransform", "load_recipe"]
