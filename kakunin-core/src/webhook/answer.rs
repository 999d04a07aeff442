//! What an answer means.

/// What a receiver answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// What it said with Retry-After, in seconds from now.
    pub retry_after: Option<u64>,
    /// The beginning of the body: at most [`super::MAX_ANSWER`] octets.
    pub body: Vec<u8>,
}

/// What that means for the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// It is delivered.
    Delivered,
    /// It is tried again, after so many milliseconds at the least if the receiver said so.
    Again(Option<u64>),
    /// Nobody wants anything there any more.
    Gone,
}

impl Answer {
    /// 2xx: delivered. 410: gone. A redirect is not followed, and like everything else a reason to try again; of 429 and
    /// 503 Retry-After counts.
    #[must_use]
    pub const fn means(&self) -> Means {
        match self.status {
            200..=299 => Means::Delivered,
            410 => Means::Gone,
            429 | 503 => match self.retry_after {
                Some(seconds) => Means::Again(Some(seconds.saturating_mul(1_000))),
                None => Means::Again(None),
            },
            _ => Means::Again(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_a_meaning() {
        let means = |status| Answer { status, retry_after: Some(7), body: Vec::new() }.means();
        for delivered in [200, 201, 202, 204, 299] {
            assert_eq!(means(delivered), Means::Delivered);
        }
        for again in [0, 100, 101, 301, 302, 307, 308, 400, 401, 404, 500, 502, 504, 999] {
            assert_eq!(means(again), Means::Again(None), "{again}");
        }
        assert_eq!((means(429), means(503)), (Means::Again(Some(7_000)), Means::Again(Some(7_000))));
        assert_eq!(means(410), Means::Gone);
        let much = Answer { status: 429, retry_after: Some(u64::MAX), body: Vec::new() };
        assert_eq!(much.means(), Means::Again(Some(u64::MAX)));
    }
}
