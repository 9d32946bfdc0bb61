//! Every command, as its users meet it: whoever holds the repository, as text and as JSON.

#[path = "commands/rows.rs"]
mod rows;
#[path = "commands/stage.rs"]
mod stage;
#[path = "commands/table.rs"]
mod table;
