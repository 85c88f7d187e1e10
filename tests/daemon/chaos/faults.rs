//! What goes wrong, at random, one server at a time; mail and the target fail beside it.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::roads::Roads;
use super::target::Target;
use crate::support::child::ChildProcess;
use crate::support::daemon::TestDaemon;
use crate::support::database::DatabaseServer;

/// Numbers that look random, the same for the same seed.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// xorshift64*
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }

    fn milliseconds(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.throw(to - from))
    }
}

/// The faults, and what they happen to.
pub(super) struct Faults {
    second: Option<ChildProcess>,
    dice: Dice,
    target: Target,
    next: Instant,
    mail_until: Option<Instant>,
    target_until: Option<Instant>,
    stalled_until: Option<Instant>,
    count: usize,
}

impl Faults {
    pub(super) fn new(second: ChildProcess, mut dice: Dice, target: Target) -> Self {
        Self {
            second: Some(second),
            next: Instant::now() + dice.milliseconds(300, 1_000),
            dice,
            target,
            mail_until: None,
            target_until: None,
            stalled_until: None,
            count: 0,
        }
    }

    pub(super) const fn count(&self) -> usize {
        self.count
    }

    pub(super) const fn target(&self) -> &Target {
        &self.target
    }

    /// Has the next fault happen when its time has come, and ends those whose time is over.
    pub(super) async fn happen(&mut self, daemon: &mut TestDaemon, roads: &mut Roads) {
        let now = Instant::now();
        if self.mail_until.is_some_and(|until| until <= now) {
            self.mail_until = None;
            daemon.smtp.as_mut().expect("the builder was told so").restart();
        }
        if self.target_until.is_some_and(|until| until <= now) {
            self.target_until = None;
            self.target.fail(false);
        }
        if self.stalled_until.is_some_and(|until| until <= now) {
            self.go_on();
        }
        if now < self.next {
            return;
        }
        self.count += 1;
        let pause = self.dice.milliseconds(50, 1_500);
        match self.dice.throw(10) {
            0 => {
                daemon.kill();
                tokio::time::sleep(pause).await;
                daemon.start().await;
            }
            1 => {
                self.go_on();
                self.second.take().expect("it runs").kill();
                tokio::time::sleep(pause).await;
                self.second = Some(daemon.start_second().await);
            }
            2 => {
                daemon.restart().await;
            }
            3 => {
                self.go_on();
                let mut second = self.second.take().expect("it runs");
                second.signal(Signal::TERM);
                second.wait_within(Duration::from_secs(30)).expect("it drains in time");
                self.second = Some(daemon.start_second().await);
            }
            4 => {
                daemon.redis.kill();
                tokio::time::sleep(pause).await;
                daemon.redis.restart();
            }
            5 => {
                let DatabaseServer::Postgres(server) = &mut daemon.database else {
                    unreachable!("the builder was told so")
                };
                server.kill();
                tokio::time::sleep(pause).await;
                server.restart();
            }
            6 => {
                // What waits in the intake alone would be lost with Redis, and that is told so (docs).
                if roads.wait_taken_in().await {
                    roads.flush().await;
                }
            }
            7 => {
                let smtp = daemon.smtp.as_mut().expect("the builder was told so");
                if self.dice.throw(2) == 0 {
                    smtp.fail_next(5, 451);
                } else {
                    smtp.stop();
                    self.mail_until = Some(now + pause * 2);
                }
            }
            8 => {
                // Others take its place after 5 s, and it comes back with what it had in hand.
                self.second.as_mut().expect("it runs").signal(Signal::STOP);
                self.stalled_until = Some(now + pause * 6);
            }
            _ => {
                self.target.fail(true);
                self.target_until = Some(now + pause * 2);
            }
        }
        self.next = Instant::now() + self.dice.milliseconds(200, 2_500);
    }

    fn go_on(&mut self) {
        if self.stalled_until.take().is_some() {
            self.second.as_mut().expect("it runs").signal(Signal::CONT);
        }
    }

    /// Everything is well again.
    pub(super) fn mend(&mut self, daemon: &mut TestDaemon) {
        self.go_on();
        self.target.fail(false);
        if self.mail_until.take().is_some() {
            daemon.smtp.as_mut().expect("the builder was told so").restart();
        }
    }
}
