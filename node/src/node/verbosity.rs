//! How much the process says in its log, changed while it runs. The log is the process's, and so is this.

use std::sync::{Mutex, OnceLock, PoisonError};

type Change = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

static CHANGE: OnceLock<Change> = OnceLock::new();
static LEVEL: Mutex<Option<String>> = Mutex::new(None);

/// Where a change of the log goes to: whoever began the log says it once. `change` takes directives as `CIDRA_LOG` has them.
pub fn log_is_changed_by(change: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static) {
    // The first one began the log.
    let _ = CHANGE.set(Box::new(change));
}

/// Has the log say all of `directives`, and nothing else.
pub fn change_log(directives: &str) -> Result<(), String> {
    let change = CHANGE.get().ok_or("this process keeps no log")?;
    change(directives)?;
    *LEVEL.lock().unwrap_or_else(PoisonError::into_inner) = Some(directives.to_owned());
    Ok(())
}

/// What the log was last changed to.
pub fn log_directives() -> Option<String> {
    LEVEL.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
