//! Wall-clock times in records.

use std::{
    borrow::Cow,
    fmt,
    ops::{Add, Sub},
    time::{Duration, SystemTime},
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// A moment by the wall clock, shown in RFC 3339 with nanoseconds, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// Now.
    pub(crate) fn now() -> Self {
        Self(jiff::Timestamp::now())
    }

    /// The time of day for people, `HH:MM:SSZ`; the Z says that it is UTC.
    pub(crate) fn time_of_day(&self) -> String {
        self.to_string()[11..19].to_owned() + "Z"
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;

    /// So much later; the last moment that RFC 3339 can say where that is beyond it.
    fn add(self, later: Duration) -> Timestamp {
        Timestamp(self.0.checked_add(later).unwrap_or(jiff::Timestamp::MAX))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Timestamp;

    /// So much earlier; the first moment that RFC 3339 can say where that is before it.
    fn sub(self, earlier: Duration) -> Timestamp {
        Timestamp(self.0.checked_sub(earlier).unwrap_or(jiff::Timestamp::MIN))
    }
}

impl From<SystemTime> for Timestamp {
    /// A time outside the years that RFC 3339 can say becomes the nearest one that it can.
    fn from(time: SystemTime) -> Self {
        let nearest = if time < SystemTime::UNIX_EPOCH { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        Self(jiff::Timestamp::try_from(time).unwrap_or(nearest))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.9}", self.0)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "RFC 3339 with nanoseconds, UTC.",
            "type": "string",
            "format": "date-time",
            "pattern": "^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{9}Z$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_are_always_nine_digits() {
        let at = |ns| Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_nanos(ns)).to_string();
        assert_eq!(at(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(at(1_700_000_000_000_000_001), "2023-11-14T22:13:20.000000001Z");
        assert_eq!(at(1_700_000_000_120_000_000), "2023-11-14T22:13:20.120000000Z");
        assert_eq!(Timestamp::from(SystemTime::UNIX_EPOCH).time_of_day(), "00:00:00Z");
    }
}
