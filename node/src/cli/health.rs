//! `cidra health`: whether the daemon of this repository is ready and answers.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::time::timeout;

use super::call::Call;
use super::failure::{Failure, Outcome};
use super::session::Session;

/// Exit with 0 when the daemon is ready and answers
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra health && echo ready")]
pub(super) struct Arguments {}

pub(super) async fn run(session: &mut Session) -> Outcome {
    let asked = async { session.client.send(Call::new("cidra/health")).await?.done().await };
    match timeout(session.global.timeout.unwrap_or(PATIENCE), asked).await {
        Ok(answered) => answered?,
        Err(_) => return Err(Failure::failed("the daemon does not answer")),
    }
    match session.output.is_json() {
        true => session.output.object(&json!({"Event": "Ready"}))?,
        false => session.output.line("ready")?,
    }
    session.output.flush()
}

/// A daemon that needs longer for this is not well.
const PATIENCE: Duration = Duration::from_secs(5);
