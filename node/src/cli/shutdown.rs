//! `cidra shutdown`: stops the daemon, and waits until it has.

use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep};

use super::call::Call;
use super::failure::{Failure, Outcome};
use super::session::Session;

/// Stop the daemon
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra shutdown")]
pub(super) struct Arguments {}

pub(super) async fn run(session: &mut Session) -> Outcome {
    session.client.send(Call::new("shutdown")).await?.done().await?;
    let Some(socket) = session.socket() else { return Ok(()) };
    let deadline = Instant::now() + PATIENCE;
    // The daemon takes its socket away last.
    while crate::repository::socket::connect(&socket).await.is_ok() {
        if Instant::now() > deadline {
            return Err(Failure::failed("the daemon was told to stop and still runs"));
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// A daemon stops in seconds.
const PATIENCE: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(50);
