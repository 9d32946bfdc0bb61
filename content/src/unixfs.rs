//! Files and folders as blocks.
