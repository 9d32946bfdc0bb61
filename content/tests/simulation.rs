//! The exchange in virtual time: up to a thousand nodes with the machines of the real ones, over links with rate, delay, loss and cuts.
//!
//! Each scenario prints its figures beside its bound and fails beyond it: a change of the rules that costs more than noise is seen
//! here. The same seed gives the same run. What the model leaves out stands in `simulation/world.rs`.

#[path = "simulation/calibrated.rs"]
mod calibrated;
#[path = "simulation/crowds.rs"]
mod crowds;
#[path = "simulation/holders.rs"]
mod holders;
#[path = "simulation/library.rs"]
mod library;
#[path = "simulation/line.rs"]
mod line;
#[path = "simulation/node.rs"]
mod node;
#[path = "simulation/random.rs"]
mod random;
#[path = "simulation/scenario.rs"]
mod scenario;
#[path = "simulation/wire.rs"]
mod wire;
#[path = "simulation/world.rs"]
mod world;
