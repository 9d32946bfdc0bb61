//! What a download asks of peers, and what it hears of them.

use cid::Cid;
use cidra_content::{fetch, hash};
use tokio::time::{Instant, sleep_until};

use super::{Download, FetchError};
use crate::network::SessionEvent;

impl Download {
    pub(super) async fn want(&mut self, absent: Vec<fetch::Want>) -> Result<(), FetchError> {
        let Some(first) = absent.first() else { return Ok(()) };
        if self.options.offline {
            return Err(FetchError::NotHere { cid: first.cid });
        }
        if let Some(error) = absent.iter().find_map(|want| unprovable(&want.cid)) {
            return Err(error);
        }
        if self.session.is_none() {
            let network = self.node.network().await?;
            let session = network.open(self.root, self.options.order, self.options.holders.clone()).await;
            if let Some(rate) = self.options.limit_down {
                session.limit(rate).await;
            }
            self.session = Some(session);
            self.patience.begin(Instant::now());
        }
        if let Some(placing) = &mut self.placing {
            placing.expect(&absent);
        }
        let session = self.session.as_mut().expect("opened above");
        session.want(absent.iter().map(|want| (want.cid, want.priority)).collect()).await;
        self.waiting += absent.len();
        Ok(())
    }

    /// Waits until a block comes, somebody should be told how it stands, or patience ends.
    pub(super) async fn wait(&mut self) -> Result<(), FetchError> {
        let Some(session) = &mut self.session else { unreachable!("without a session all that was asked for is here") };
        let wake = self.patience.deadline().map_or(self.state_due, |deadline| deadline.min(self.state_due));
        let event = tokio::select! {
            biased;
            event = session.next() => Some(event.ok_or(FetchError::Stopped)?),
            () = sleep_until(wake) => None,
        };
        let now = Instant::now();
        match event {
            Some(SessionEvent::Delivered { cid, .. }) => {
                self.patience.delivered(now);
                let mut came = vec![cid];
                while let Some(SessionEvent::Delivered { cid, .. }) = session.try_next() {
                    came.push(cid);
                }
                self.waiting = self.waiting.saturating_sub(came.len());
                for cid in came {
                    let place = self.placing.as_mut().and_then(|placing| placing.came(&cid));
                    self.wanted.push(fetch::Want { cid, priority: 0, place });
                }
                return self.look_up().await;
            }
            Some(SessionEvent::Missing { cid, report }) => self.patience.missing(cid, report),
            None => {}
        }
        self.tell(now).await;
        if !self.patience.is_over(now) {
            return Ok(());
        }
        let last = match &self.session {
            Some(session) => session.report().await,
            None => None,
        };
        let missing = self.fetch.missing(1).first().copied().unwrap_or(self.root);
        Err(self.patience.end(missing, last.as_ref(), now))
    }
}

/// Nobody is asked for a block that could not be proved: whoever sent it would seem to lie.
pub(super) fn unprovable(cid: &Cid) -> Option<FetchError> {
    let code = cid.hash().code();
    (!hash::supported(code)).then_some(FetchError::UnsupportedHash { cid: *cid, code })
}
