//! One getter of 128 MiB, several holders.

use cidra_content::Cid;

use crate::calibrated::{FOUR_HOLDERS, ONE_OF_TWO_CUT_OFF, ONE_OF_TWO_KILLED};
use crate::node::Link;
use crate::scenario::{Bound, Figures, MIB, Row, judge};
use crate::world::{Event, Id, SECOND, World};

/// A world with these holders, of the whole file each, and a getter that knows them all.
fn world(holders: &[Link]) -> (World, Cid, Vec<Id>, Id) {
    let mut world = World::new(1);
    let root = world.library.add_file(128 * MIB, MIB);
    let holders: Vec<Id> = holders.iter().map(|link| world.add_node(*link)).collect();
    for holder in &holders {
        world.give(*holder, &root);
    }
    let getter = world.add_node(Link::of(1000.0, 1000.0));
    world.will_get(getter, root, holders.clone(), 0);
    (world, root, holders, getter)
}

fn from(holders: &[Link]) -> Figures {
    let (mut world, root, _, getter) = world(holders);
    world.figures(&[getter], &root, 300 * SECOND)
}

/// The first of two holders meets this after three seconds.
fn of_two_one_meets(event: fn(Id) -> Event) -> Figures {
    let (mut world, root, holders, getter) = world(&[Link::of(100.0, 100.0); 2]);
    world.at(3 * SECOND, event(holders[0]));
    world.figures(&[getter], &root, 300 * SECOND)
}

fn the_only_one_is_cut_off_for_two_seconds() -> Figures {
    let (mut world, root, holders, getter) = world(&[Link::of(100.0, 100.0)]);
    world.at(3 * SECOND, Event::Cut { node: holders[0] });
    world.at(5 * SECOND, Event::Mend { node: holders[0] });
    world.figures(&[getter], &root, 300 * SECOND)
}

fn with_a_liar() -> Figures {
    let (mut world, root, holders, getter) = world(&[Link::of(100.0, 100.0); 3]);
    world.nodes[holders[0] as usize].lies = true;
    world.figures(&[getter], &root, 300 * SECOND)
}

/// Two whole holders, and one of every third leaf.
fn with_a_partial_one() -> Figures {
    let (mut world, root, holders, getter) = world(&[Link::of(100.0, 100.0); 3]);
    let leaves = world.library.links(&root);
    let lacks = leaves.iter().enumerate().filter(|(place, _)| place % 3 > 0).map(|(_, cid)| cid);
    for cid in lacks {
        world.nodes[holders[0] as usize].store.remove(cid);
    }
    world.figures(&[getter], &root, 300 * SECOND)
}

fn over_a_lossy_path() -> Figures {
    let (mut world, root, _, getter) = world(&[Link::of(100.0, 100.0).with_round_trip(40.0); 2]);
    world.loss = 0.001;
    world.figures(&[getter], &root, 300 * SECOND)
}

#[test]
fn holders_are_used_to_the_full() {
    let link = Link::of(100.0, 100.0);
    let of = |up: f64, round_trip: f64| Link::of(up, up).with_round_trip(2.0 * round_trip);
    let row = |name: &str, holders: &[Link], bound| Row::new(name, &[from(holders)], bound);
    let near = [of(100.0, 10.0), of(50.0, 40.0), of(10.0, 100.0), of(2.0, 400.0)];
    let far = [of(100.0, 400.0), of(50.0, 100.0), of(10.0, 40.0), of(2.0, 10.0)];
    judge(&[
        row("128 MiB from 4 holders", &[link; 4], Bound::of(2.95, 0.1).asked(2.95).calibrated(FOUR_HOLDERS)),
        row("… with a round trip of 50 ms", &[of(100.0, 50.0); 4], Bound::of(3.45, 0.2)),
        row("… from 1, round trip 100 ms", &[of(100.0, 100.0)], Bound::of(12.5, 0.2).asked(12.55)),
        row("… 100, 50, 10, 2 Mbit/s at 10, 40, 100, 400 ms", &near, Bound::of(7.6, 0.2)),
        row("… 100, 50, 10, 2 Mbit/s at 400, 100, 40, 10 ms", &far, Bound::of(11.75, 0.2)),
        row("… 2 of 100 Mbit/s, 1 of 2", &[link, link, of(2.0, 1.0)], Bound::of(5.8, 0.2)),
        Row::new("… 2 at 40 ms, 1 packet in 1000 lost", &[over_a_lossy_path()], Bound::of(14.7, 0.2)),
    ]);
}

#[test]
fn holders_that_fail_cost_little() {
    let killed = of_two_one_meets(|node| Event::Kill { node });
    let cut = of_two_one_meets(|node| Event::Cut { node });
    judge(&[
        Row::new(
            "128 MiB, one of 2 killed after 3 s",
            &[killed],
            Bound::of(8.4, 0.1).asked(8.6).calibrated(ONE_OF_TWO_KILLED),
        ),
        Row::new("… one of 2 cut off after 3 s", &[cut], Bound::of(8.4, 0.1).asked(9.5).calibrated(ONE_OF_TWO_CUT_OFF)),
        Row::new(
            "… the only one cut off from 3 to 5 s",
            &[the_only_one_is_cut_off_for_two_seconds()],
            Bound::of(14.0, 2.5),
        ),
        Row::new("… one of 3 lies", &[with_a_liar()], Bound::of(5.8, 0.1)),
        Row::new("… 2, and 1 of a third", &[with_a_partial_one()], Bound::of(4.0, 0.1)),
    ]);
}
