//! Files and folders through their public doors: in by the importers, out by the readers.

#[path = "unixfs/files.rs"]
mod files;
#[path = "unixfs/folders.rs"]
mod folders;
#[path = "unixfs/hostile.rs"]
mod hostile;
#[path = "unixfs/kubo.rs"]
mod kubo;
#[path = "unixfs/profiles.rs"]
mod profiles;
#[path = "unixfs/shelf.rs"]
mod shelf;
