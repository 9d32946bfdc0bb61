use super::*;

type Actions = Vec<Action<&'static str, u32>>;

/// A node, the peers around it, and the clock.
struct World {
    prober: Prober<&'static str, u32>,
    now: Instant,
    nonce: u64,
    actions: Actions,
}

impl World {
    fn of(servers: impl IntoIterator<Item = u32>) -> Self {
        let mut world = Self { prober: Prober::default(), now: Instant::now(), nonce: 0, actions: vec![] };
        servers.into_iter().for_each(|peer| world.prober.handle_server(peer, world.now));
        world
    }

    fn seen(&mut self, address: &'static str, scope: Scope, observer: u32) {
        self.prober.handle_candidate(address, scope, Some(observer), self.now);
    }

    /// Time passes; each test is answered at once.
    fn run(&mut self, time: Duration, answer: impl Fn(u32, &str) -> Answer) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_secs(1);
            let nonce = &mut self.nonce;
            let actions = self.prober.tick(self.now, || {
                *nonce += 1;
                *nonce
            });
            for action in &actions {
                if let Action::Test { server, address, nonce } = action {
                    let answer = answer(*server, address);
                    if answer == Answer::Reached {
                        assert!(self.prober.handle_dial_back(*nonce));
                    }
                    let told = self.prober.handle_answer(*nonce, answer, self.now);
                    self.actions.extend(told);
                }
            }
            self.actions.extend(actions);
        }
    }

    fn tests(&self) -> usize {
        self.actions.iter().filter(|action| matches!(action, Action::Test { .. })).count()
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn an_address_that_was_dialled_is_ours_and_tested_every_hour() {
    let mut world = World::of([1, 2]);
    world.seen("out:4001", Scope::Public, 1);
    assert_eq!(world.prober.reachability(), Reachability::Unknown);

    world.run(MINUTE, |_, _| Answer::Reached);
    assert_eq!(world.prober.reachability(), Reachability::Public(vec!["out:4001"]));
    assert!(world.actions.contains(&Action::Confirmed("out:4001")));
    world.run(3 * HOUR, |_, _| Answer::Reached);

    assert_eq!(world.tests(), 4);
}

#[test]
fn who_told_of_an_address_is_asked_last() {
    let mut world = World::of([1, 2]);
    world.seen("out:4001", Scope::Public, 1);

    world.run(Duration::from_secs(1), |_, _| Answer::Reached);

    assert!(matches!(world.actions[..], [Action::Confirmed(_), Action::Test { server: 2, .. }]), "{:?}", world.actions);
}

#[test]
fn a_node_that_nobody_can_dial_is_private_after_a_few_have_tried() {
    let mut world = World::of(1..=10);
    world.seen("out:1024", Scope::Public, 1);

    world.run(2 * MINUTE, |_, _| Answer::Unreachable);

    assert_eq!(world.prober.reachability(), Reachability::Private);
    assert_eq!(world.tests(), ENOUGH);
}

#[test]
fn one_peer_alone_is_believed_at_once_but_for_what_it_dialled_before() {
    let mut world = World::of([1]);
    world.seen("out:1024", Scope::Public, 1);

    world.run(Duration::from_secs(2), |_, _| Answer::Unreachable);
    assert_eq!(world.prober.reachability(), Reachability::Private);
    world.run(HOUR, |_, _| Answer::Reached);
    assert_eq!(world.prober.reachability(), Reachability::Public(vec!["out:1024"]));
    world.actions.clear();
    world.run(HOUR, |_, _| Answer::Unreachable);

    assert_eq!(world.prober.reachability(), Reachability::Private);
    assert!(world.tests() >= ENOUGH_OF_ONE);
}

#[test]
fn one_that_fails_among_others_that_dial_changes_nothing() {
    let mut world = World::of([1, 2, 3]);
    world.seen("out:4001", Scope::Public, 3);

    world.run(MINUTE, |server, _| if server == 1 { Answer::Unreachable } else { Answer::Reached });

    assert_eq!(world.prober.reachability(), Reachability::Public(vec!["out:4001"]));
}

#[test]
fn a_port_that_is_closed_later_is_noticed() {
    let mut world = World::of([1, 2, 3]);
    world.seen("out:4001", Scope::Public, 1);
    world.run(MINUTE, |_, _| Answer::Reached);

    world.run(HOUR + MINUTE, |_, _| Answer::Unreachable);
    assert_eq!(world.prober.reachability(), Reachability::Private);
    assert!(world.actions.contains(&Action::Expired("out:4001")));
    world.run(HOUR, |_, _| Answer::Reached);

    assert_eq!(world.prober.reachability(), Reachability::Public(vec!["out:4001"]));
}

#[test]
fn an_address_that_the_router_opened_is_tested_again_at_once() {
    let mut world = World::of([1]);
    world.seen("out:4001", Scope::Public, 1);
    world.run(MINUTE, |_, _| Answer::Unreachable);
    assert_eq!(world.prober.reachability(), Reachability::Private);

    world.prober.handle_opened("out:4001", Scope::Public, world.now);
    world.run(Duration::from_secs(2), |_, _| Answer::Reached);

    assert_eq!(world.prober.reachability(), Reachability::Public(vec!["out:4001"]));
}

#[test]
fn a_confirmed_address_expires_when_nobody_is_left_to_ask() {
    let mut world = World::of([1]);
    world.seen("out:4001", Scope::Public, 1);
    world.run(MINUTE, |_, _| Answer::Reached);
    world.prober.handle_gone(&1);

    world.run(VALIDITY + MINUTE, |_, _| Answer::Reached);

    assert_eq!(world.prober.reachability(), Reachability::Unknown);
    assert!(world.actions.contains(&Action::Expired("out:4001")));
}

#[test]
fn a_peer_that_says_reached_without_the_nonce_confirms_nothing_and_is_left_alone() {
    let mut world = World::of([1]);
    world.seen("out:4001", Scope::Public, 1);
    let actions = world.prober.tick(world.now, || 7);
    assert!(matches!(actions[..], [Action::Test { nonce: 7, .. }]));

    assert_eq!(world.prober.handle_answer(7, Answer::Reached, world.now), []);

    assert!(!world.prober.handle_dial_back(7));
    assert_eq!(world.prober.reachability(), Reachability::Unknown);
    assert_eq!(world.prober.tick(world.now + LONG_REST - MINUTE, || 8), []);
}

#[test]
fn a_peer_that_never_answers_has_failed() {
    let mut world = World::of([1]);
    world.seen("out:4001", Scope::Public, 1);
    world.prober.tick(world.now, || 7);

    world.prober.tick(world.now + PATIENCE, || 8);

    assert!(world.prober.tests.is_empty());
    assert_eq!(world.prober.handle_answer(7, Answer::Reached, world.now), []);
}

#[test]
fn an_address_of_the_local_network_that_works_needs_no_relay_and_is_not_public() {
    let mut world = World::of([1, 2]);
    world.seen("10.0.0.5:4001", Scope::Local, 1);

    world.run(MINUTE, |_, _| Answer::Reached);
    assert_eq!(world.prober.reachability(), Reachability::Unknown);
    assert_eq!(world.prober.confirmed(Scope::Local), ["10.0.0.5:4001"]);
    world.seen("out:1024", Scope::Public, 2);
    world.run(MINUTE, |_, _| Answer::Unreachable);

    assert_eq!(world.prober.reachability(), Reachability::Private);
}

#[test]
fn peers_that_refuse_an_address_are_no_proof_against_it() {
    let mut world = World::of(1..=5);
    world.seen("10.0.0.5:4001", Scope::Local, 1);

    world.run(10 * MINUTE, |_, _| Answer::Refused);

    assert_eq!(world.prober.reachability(), Reachability::Unknown);
    assert_eq!(world.tests(), 10, "each of them once, and once more after a pause");
}

#[test]
fn strangers_cannot_make_it_remember_more_than_the_most_nor_forget_what_is_ours() {
    let mut world = World::of([1]);
    world.seen("out:4001", Scope::Public, 1);
    world.run(MINUTE, |_, _| Answer::Reached);

    let invented: Vec<&'static str> = (0..MAX_CANDIDATES).map(|port| &*format!("lie:{port}").leak()).collect();
    for address in &invented {
        world.now += Duration::from_secs(1);
        world.seen(address, Scope::Public, 9);
    }

    assert_eq!(world.prober.candidates.len(), MAX_CANDIDATES);
    assert_eq!(world.prober.reachability(), Reachability::Public(vec!["out:4001"]));
    assert!(!world.prober.candidates.contains_key(invented[0]));
    for peer in 0..MAX_OBSERVERS as u32 + 1 {
        world.seen("out:4001", Scope::Public, peer);
    }
    assert_eq!(world.prober.candidates["out:4001"].observers.len(), MAX_OBSERVERS);
}

#[test]
fn more_servers_than_needed_are_not_remembered() {
    let world = World::of(0..MAX_SERVERS as u32 + 1);

    assert_eq!(world.prober.servers.len(), MAX_SERVERS);
}

#[test]
fn the_same_inputs_give_the_same_actions() {
    let run = || {
        let mut world = World::of(1..=5);
        for (address, observer) in [("a:1", 1), ("b:2", 2), ("a:1", 3)] {
            world.seen(address, Scope::Public, observer);
        }
        world.run(HOUR, |server, _| if server % 2 == 0 { Answer::Reached } else { Answer::Unreachable });
        world.actions
    };

    assert_eq!(run(), run());
}
