use cidra_content::Block;
use cidra_content::block::{DAG_PB, RAW};

use super::*;

#[test]
fn small_blocks_go_together_and_a_large_one_alone() {
    let mut queue = Queue::default();
    for len in [1000, 2000, 300_000, 5] {
        queue.push(outgoing(RAW, len));
    }
    let lengths = |(blocks, pending): (Vec<Outgoing>, u64)| {
        (blocks.iter().map(|block| block.data.len()).collect::<Vec<_>>(), pending)
    };
    assert_eq!(lengths(queue.next_message()), (vec![1000, 2000], 300_005));
    assert_eq!(lengths(queue.next_message()), (vec![300_000], 5));
    assert_eq!(lengths(queue.next_message()), (vec![5], 0));
    assert!(queue.is_empty());
}

#[test]
fn blocks_with_children_go_first_and_aborted_ones_not_at_all() {
    let mut queue = Queue::default();
    let (leaf, other, node) = (outgoing(RAW, 20_000), outgoing(RAW, 30_000), outgoing(DAG_PB, 40_000));
    let (cid, first) = (other.cid, node.cid);
    [leaf, other, node].into_iter().for_each(|block| queue.push(block));

    queue.remove(RequestId(2), &cid);
    assert_eq!(queue.bytes, 90_000, "that is another request");
    queue.remove(RequestId(1), &cid);

    assert_eq!(queue.next_message().0[0].cid, first);
    assert_eq!(queue.next_message().0[0].data.len(), 20_000);
    assert!(queue.is_empty());
}

#[test]
fn no_message_holds_more_than_256_blocks() {
    let mut queue = Queue::default();
    (0..=MOST_TOGETHER).for_each(|_| queue.push(outgoing(RAW, 1)));
    assert_eq!(queue.next_message().0.len(), MOST_TOGETHER);
    assert_eq!(queue.next_message().0.len(), 1);
}

fn outgoing(codec: u64, len: usize) -> Outgoing {
    let block = Block::new(codec, vec![7; len].into());
    Outgoing { request: RequestId(1), cid: *block.cid(), data: block.into_data(), limit: None }
}
