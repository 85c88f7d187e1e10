//! When the ticks of a schedule come: the arithmetic of clocks, without a clock.

use std::{fmt, time::Duration};

use chrono::{DateTime, NaiveDateTime, Offset as _, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;

/// When something is done.
#[derive(Debug, Clone)]
pub enum When {
    /// At the multiples of a period since 1970: every daemon comes to the same ticks.
    Every(Duration),
    /// By the calendar.
    Calendar(Box<Calendar>),
}

/// A cron expression, and whose clock it is read on.
///
/// Where the clocks are put forward, a tick in the hour left out comes later by as much; where they are put back, a tick in
/// the hour that comes twice comes the first time only. So what is to be done daily is done once on every day.
#[derive(Debug, Clone)]
pub struct Calendar {
    /// second minute hour day month weekday
    pub expression: cron::Schedule,
    /// The time zone.
    pub zone: Tz,
}

impl When {
    /// The latest tick up to `now`.
    pub fn latest(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Every(period) => multiple(*period, now, 0),
            Self::Calendar(calendar) => calendar.latest(now),
        }
    }

    /// The first tick after `now`.
    pub fn next(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Every(period) => multiple(*period, now, 1),
            Self::Calendar(calendar) => calendar.next(now),
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(period) => write!(f, "every {}", humantime::format_duration(*period)),
            Self::Calendar(calendar) => write!(f, "{} ({})", calendar.expression, calendar.zone),
        }
    }
}

/// The latest multiple of `period` up to `now`, or as many later.
fn multiple(period: Duration, now: DateTime<Utc>, later: i64) -> Option<DateTime<Utc>> {
    let period_ms = i64::try_from(period.as_millis()).ok().filter(|ms| *ms > 0)?;
    DateTime::from_timestamp_millis((now.timestamp_millis().div_euclid(period_ms) + later).checked_mul(period_ms)?)
}

const DAY: TimeDelta = TimeDelta::days(1);
const SECOND: TimeDelta = TimeDelta::seconds(1);

impl Calendar {
    fn latest(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let moved = self.moved(now);
        let local = now.with_timezone(&self.zone).naive_local();
        // Put back, later readings of the clock have been already. The crate reads them as it reads UTC: every one exists, once.
        let from = local + (-moved).max(TimeDelta::zero()) + SECOND;
        let mut first = None;
        let mut latest: Option<DateTime<Utc>> = None;
        for reading in self.expression.after(&from.and_utc()).rev() {
            let reading = reading.naive_utc();
            // Put forward, earlier readings may come after later ones.
            if first.is_some_and(|first| reading < first - moved.max(TimeDelta::zero())) {
                break;
            }
            let tick = self.moment(reading);
            if tick <= now {
                first.get_or_insert(reading);
                latest = latest.max(Some(tick));
            }
        }
        latest
    }

    fn next(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let local = now.with_timezone(&self.zone).naive_local();
        // A clock is put forward or back by less than this.
        let mut ahead = self.expression.after(&(local - TimeDelta::hours(3)).and_utc());
        let first = ahead.find_map(|reading| {
            let reading = reading.naive_utc();
            (self.moment(reading) > now).then_some(reading)
        })?;
        let rest = ahead.map(|reading| reading.naive_utc());
        let near = rest.take_while(|reading| *reading <= first + TimeDelta::hours(3));
        let ticks = near.chain([first]).map(|reading| self.moment(reading));
        ticks.filter(|tick| *tick > now).min()
    }

    /// By how much the clock has been put forward (or back, below zero) in the last day.
    fn moved(&self, now: DateTime<Utc>) -> TimeDelta {
        TimeDelta::seconds((self.offset(now.naive_utc()) - self.offset((now - DAY).naive_utc())).into())
    }

    /// How far the clock is ahead of UTC, in seconds.
    fn offset(&self, at: NaiveDateTime) -> i32 {
        self.zone.offset_from_utc_datetime(&at).fix().local_minus_utc()
    }

    /// When the clock reads this; see [`Calendar`] for readings that do not come, or come twice.
    fn moment(&self, reading: NaiveDateTime) -> DateTime<Utc> {
        let found = self.zone.from_local_datetime(&reading).earliest();
        found.map_or_else(
            || (reading - TimeDelta::seconds(self.offset(reading - DAY).into())).and_utc(),
            |moment| moment.with_timezone(&Utc),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a moment")
    }

    fn calendar(expression: &str, zone: Tz) -> When {
        let expression = expression.parse().expect("a cron expression");
        When::Calendar(Box::new(Calendar { expression, zone }))
    }

    /// The ticks that somebody sees who looks every minute.
    fn seen(when: &When, from: &str, to: &str) -> Vec<String> {
        let mut ticks = BTreeSet::new();
        let mut now = at(from);
        while now < at(to) {
            ticks.extend(when.latest(now).filter(|tick| *tick >= at(from)));
            now += TimeDelta::minutes(1);
        }
        ticks.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn of_the_ticks_that_were_missed_the_latest_counts() {
        let daily = calendar("0 30 3 * * *", Tz::UTC);
        assert_eq!(
            daily.latest(at("2026-11-23T12:00:00Z")),
            Some(at("2026-11-23T03:30:00Z"))
        );
        assert_eq!(
            daily.latest(at("2026-11-24T03:29:59Z")),
            Some(at("2026-11-23T03:30:00Z"))
        );
        assert_eq!(
            daily.latest(at("2026-11-24T03:30:00Z")),
            Some(at("2026-11-24T03:30:00Z"))
        );
        assert_eq!(daily.next(at("2026-11-24T03:30:00Z")), Some(at("2026-11-25T03:30:00Z")));
        let over = calendar("0 30 3 1 1 * 2020", Tz::UTC);
        assert_eq!(over.next(at("2026-11-24T03:30:00Z")), None);
        let hourly = When::Every(Duration::from_hours(1));
        assert_eq!(
            hourly.latest(at("2026-11-24T03:59:59.9Z")),
            Some(at("2026-11-24T03:00:00Z"))
        );
        assert_eq!(
            hourly.next(at("2026-11-24T03:00:00Z")),
            Some(at("2026-11-24T04:00:00Z"))
        );
    }

    #[test]
    fn a_reading_that_the_clock_leaves_out_comes_later_by_as_much() {
        // Put forward from 02:00 to 03:00 on March 29.
        let nightly = calendar("0 30 2 * * *", Tz::Europe__Amsterdam);
        assert_eq!(
            seen(&nightly, "2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z"),
            [
                "2026-03-28 01:30:00 UTC",
                "2026-03-29 01:30:00 UTC",
                "2026-03-30 00:30:00 UTC"
            ]
        );
        assert_eq!(
            nightly.next(at("2026-03-29T00:00:00Z")),
            Some(at("2026-03-29T01:30:00Z"))
        );
        // A later reading may come before it.
        let both = calendar("0 30,0 2,3 * * *", Tz::Europe__Amsterdam);
        assert_eq!(
            seen(&both, "2026-03-29T00:00:00Z", "2026-03-29T12:00:00Z"),
            ["2026-03-29 01:00:00 UTC", "2026-03-29 01:30:00 UTC"]
        );
        assert_eq!(both.next(at("2026-03-29T00:30:00Z")), Some(at("2026-03-29T01:00:00Z")));
    }

    #[test]
    fn a_reading_that_comes_twice_counts_the_first_time() {
        // Put back from 03:00 to 02:00 on October 25.
        let nightly = calendar("0 30 2 * * *", Tz::Europe__Amsterdam);
        assert_eq!(
            seen(&nightly, "2026-10-24T00:00:00Z", "2026-10-27T00:00:00Z"),
            [
                "2026-10-24 00:30:00 UTC",
                "2026-10-25 00:30:00 UTC",
                "2026-10-26 01:30:00 UTC"
            ]
        );
        assert_eq!(
            nightly.next(at("2026-10-25T01:00:00Z")),
            Some(at("2026-10-26T01:30:00Z"))
        );
        assert_eq!(
            nightly.latest(at("2026-10-25T01:05:00Z")),
            Some(at("2026-10-25T00:30:00Z"))
        );
    }

    proptest! {
        /// Whatever the clocks do, a daily schedule ticks once on each local day.
        #[test]
        fn once_on_each_day(
            zone in prop::sample::select(vec![
                Tz::UTC, Tz::Europe__Amsterdam, Tz::America__New_York, Tz::Australia__Lord_Howe, Tz::Asia__Kolkata, Tz::America__Santiago,
            ]),
            (hour, minute) in (0_u32..24, 0_u32..60),
            start in 1_767_225_600_i64..1_798_761_600,
        ) {
            let daily = calendar(&format!("0 {minute} {hour} * * *"), zone);
            let start = DateTime::from_timestamp(start, 0).expect("within range");
            let mut ticks = BTreeSet::new();
            for quarter in 0..4 * 24 * 6 {
                let now = start + TimeDelta::minutes(15 * quarter);
                let latest = daily.latest(now).expect("there are earlier ones");
                prop_assert!(latest <= now);
                let next = daily.next(now).expect("there are later ones");
                prop_assert!(next > now && daily.latest(next) == Some(next), "{now}: {next}");
                ticks.insert(latest);
            }
            let days: Vec<_> = ticks.iter().map(|tick| tick.with_timezone(&zone).date_naive()).collect();
            prop_assert!(days.windows(2).all(|two| two[0].succ_opt() == Some(two[1])), "{days:?}");
        }
    }
}
