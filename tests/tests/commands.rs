//! Every command, as its users meet it: whoever holds the repository, as text and as JSON; and as the documents say.

#[path = "commands/console.rs"]
mod console;
#[path = "commands/documents.rs"]
mod documents;
#[path = "commands/rows.rs"]
mod rows;
#[path = "commands/stage.rs"]
mod stage;
#[path = "commands/table.rs"]
mod table;
#[path = "commands/tokens.rs"]
mod tokens;
