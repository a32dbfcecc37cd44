// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The flow engine by itself: what each action does, where frames go, what is bounded. Whether matching and actions are tc's is
//! the business of `flow_oracle`.

mod actions;
mod bench;
mod bounds;
mod objects;
mod tunnels;
mod ways;
