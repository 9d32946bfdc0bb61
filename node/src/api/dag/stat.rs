//! `dag/stat`: how large DAGs are, and how much of that they share.

use std::time::{Duration, Instant};

use axum::extract::State;
use cid::Cid;
use cidra_content::seen::Seen;
use serde_json::{Map, Value, json};

use crate::api::answer::{Answer, Shape, stream};
use crate::api::call::Piped;
use crate::node::{DagReader, Node};

/// One object at the end; with `progress`, which is Kubo's default, others before it.
pub(in crate::api) async fn stat(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let options = call.fetch_options()?;
    let form = call.cid_form()?;
    let progress = call.flag("progress")?.unwrap_or(true);
    let mut roots: Vec<Cid> = vec![];
    for path in call.paths(&node).await? {
        roots.push(node.resolve(&path, &options).await?);
    }
    stream(&call, Shape::Objects, |output| async move {
        let mut summary = Summary::new(roots.len());
        let mut told = Instant::now();
        for root in roots {
            summary.begin(form.text(&root));
            let mut blocks = DagReader::new(node.clone(), root, options.clone());
            while let Some((cid, length)) = blocks.next_length().await? {
                summary.count(&cid, length);
                if progress && told.elapsed() >= TELL_EVERY {
                    told = Instant::now();
                    output.object(&summary.so_far()).await;
                }
            }
        }
        output.object(&summary.whole()).await;
        Ok(())
    })
    .await
}

/// Kubo tells after each block.
const TELL_EVERY: Duration = Duration::from_millis(500);

struct Dag {
    cid: String,
    size: u64,
    blocks: u64,
}

/// Kubo's object, in which what is zero is left out.
struct Summary {
    dags: Vec<Dag>,
    /// What was counted under another root. One root alone counts nothing twice.
    seen: Option<Seen>,
    unique: u64,
    total: u64,
}

impl Summary {
    fn new(roots: usize) -> Self {
        Self { dags: vec![], seen: (roots > 1).then(Seen::default), unique: 0, total: 0 }
    }

    fn begin(&mut self, cid: String) {
        self.dags.push(Dag { cid, size: 0, blocks: 0 });
    }

    fn count(&mut self, cid: &Cid, length: u64) {
        let dag = self.dags.last_mut().expect("one was begun");
        dag.size += length;
        dag.blocks += 1;
        if self.seen.as_mut().is_none_or(|seen| seen.insert(cid)) {
            self.unique += 1;
            self.total += length;
        }
    }

    fn so_far(&self) -> Value {
        let dags = self.dags.iter().map(|dag| {
            let numbers = [("Size", dag.size.into()), ("NumBlocks", dag.blocks.into())];
            object([("Cid", Value::from(dag.cid.clone()))].into_iter().chain(without_zeros(numbers)))
        });
        let dags: Vec<Value> = dags.collect();
        object(without_zeros([("TotalSize", self.total.into())]).chain([("DagStats", json!(dags))]))
    }

    fn whole(&self) -> Value {
        let redundant: u64 = self.dags.iter().map(|dag| dag.size).sum();
        // As Kubo does it, in 32 bits, and with no more digits than these have.
        let ratio = if self.total == 0 { 0.0 } else { redundant as f32 / self.total as f32 };
        let ratio: f64 = ratio.to_string().parse().expect("a number is read back");
        let Value::Object(mut whole) = self.so_far() else { unreachable!("made as one") };
        let numbers = [
            ("UniqueBlocks", self.unique.into()),
            ("SharedSize", (redundant - self.total).into()),
            ("Ratio", json!(ratio)),
        ];
        whole.extend(without_zeros(numbers).map(|(name, value)| (name.to_owned(), value)));
        Value::Object(whole)
    }
}

fn without_zeros<const N: usize>(numbers: [(&'static str, Value); N]) -> impl Iterator<Item = (&'static str, Value)> {
    numbers.into_iter().filter(|(_, number)| number.as_f64() != Some(0.0))
}

fn object(entries: impl Iterator<Item = (&'static str, Value)>) -> Value {
    Value::Object(entries.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}
