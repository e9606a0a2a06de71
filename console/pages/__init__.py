"""The pages of the console: a module each, or a package with views, forms and labels."""
