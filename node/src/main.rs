//! The program `cidra`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cidra_node::cli::main()
}
