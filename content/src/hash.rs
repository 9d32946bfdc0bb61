//! Hash functions: one block or many at once.
