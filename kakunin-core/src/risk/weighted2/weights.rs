//! The numbers of `weighted/2`.

use crate::risk::prior::ByEffect;

/// One number for each [`Family`](crate::risk::Family), in the order of `Family::ALL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerFamily<T>(pub [T; 4]);

/// The numbers of the model. Evidence is in millionths of a bit, shares in thousandths.
///
/// One bit halves the trust that is left: 2 bits are a score of 0.75, 2.8 bits are 0.85.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights2 {
    /// Evidence of one event at most, where it is not for a burst.
    pub event_cap: u64,

    /// Tenths of the usual busy hour from which what succeeds is too much.
    pub busy_times: u64,
    /// Tenths of the usual busy hour that five minutes count as at the most.
    pub slot_times: u64,
    /// Tenths of the usual busy hour from which it is too much, however it comes.
    pub burst_times: u64,
    /// Evidence of each further multiple of it.
    pub overload: u64,
    /// Days that the prior's busy hour counts as.
    pub busy_days: u64,
    /// Events of a busy hour that are never too few to be usual.
    pub least_busy: u64,
    /// Days of work from which an agent has a pace of its own.
    pub paced_days: u64,
    /// Evidence of pace at most before that: of whom nobody knows yet how much is usual, a person is told.
    pub unpaced_most: u64,

    /// How many events the prior's rates of refusals and failures count as against an agent's own.
    pub prior_events: u64,
    /// Evidence of an act out of scope at a door that was not tried today, by what it would have done.
    pub out_of_scope: ByEffect,
    /// Share of it for a door that was tried today.
    pub tried_today: u64,
    /// Share of it for an action and target that was refused on earlier days already.
    pub refused_before: u64,
    /// Acts out of scope of one hour from which they are a burst.
    pub burst: u64,
    /// Share of it for each of a burst, at a door that was not tried today.
    pub burst_new: u64,
    /// The same at a door that was.
    pub burst_again: u64,
    /// Share of refusals that stays evidence however often they happen.
    pub habit_floor: u64,
    /// Evidence of a refusal although the scope covers the act.
    pub denied: u64,

    /// Evidence of a failed authentication at an account where none failed today.
    pub login_new: u64,
    /// The same for each further account of a day.
    pub login_further: u64,
    /// Evidence of each further failure at the same account.
    pub login_again: u64,
    /// How many failures at one account may be an outage.
    pub login_many: u64,
    /// How many more at most if it often fails, one for each five failures of the days before.
    pub login_habit: u64,
    /// Evidence of each failure after those.
    pub login_long: u64,

    /// Evidence of a new target or counterparty where nothing new is as rare as can be, by what the act does.
    pub fresh: ByEffect,

    /// Share of it for an act that reads, changes or deletes, and names a counterparty.
    pub fresh_mild: u64,
    /// Share of it where the act failed, or was refused by a right or a guard.
    pub fresh_failed: u64,
    /// Bits of rarity that count at most.
    pub rare: u64,
    /// Days that the prior's rate of new targets counts as.
    pub prior_days: u64,
    /// Days of work at which habits count in full; less than that counts as the square.
    pub settled_days: u64,
    /// How much a recent day with anything new excuses, in thousandths.
    pub other_days: u64,
    /// So many further new targets of the day halve a new one's evidence.
    pub same_day: u64,

    /// New targets of one hour that are never many, by what is done.
    pub many: ByEffect,
    /// New targets of one hour, of acts that do more than read, that are never many.
    pub many_acts: u64,
    /// Times the usual new targets of a day that are never many.
    pub many_times: u64,
    /// Evidence of each new target beyond these.
    pub rate: ByEffect,
    /// Payments of one hour that are never many.
    pub many_pays: u64,
    /// Evidence of each payment beyond these.
    pub pay_rate: u64,

    /// Evidence of each doubling of an amount above the largest that is usual.
    pub amount: u64,
    /// Doublings that count at most.
    pub amount_steps: u8,
    /// Doublings that do not count where the counterparty is known.
    pub amount_known: u8,

    /// Share of the surprise of the last minutes, by family.
    pub recent: PerFamily<u64>,
    /// Share of the surprise of two days, by family.
    pub hourly: PerFamily<u64>,
    /// Share of the surprise of 30 days, by family.
    pub daily: PerFamily<u64>,
    /// Evidence of all families up to which new targets and large amounts count in full.
    pub knee: u64,
    /// Share of them that counts beyond it.
    pub beyond: u64,
    /// What they add beyond it at most: too little to revoke.
    pub beyond_most: u64,
}

impl Weights2 {
    /// The weights of `weighted/2`, chosen as docs/RISK.md tells.
    pub const V2: Self = Self {
        event_cap: 1_950_000,
        busy_times: 75,
        slot_times: 10,
        burst_times: 250,
        overload: 4_000_000,
        busy_days: 1,
        least_busy: 3,
        paced_days: 3,
        unpaced_most: 2_200_000,
        prior_events: 64,
        out_of_scope: ByEffect {
            read: 160_000,
            write: 200_000,
            send: 300_000,
            pay: 340_000,
            delete: 340_000,
            rights: 340_000,
        },
        tried_today: 300,
        refused_before: 400,
        burst: 8,
        burst_new: 1_300,
        burst_again: 700,
        habit_floor: 600,
        denied: 15_000,
        login_new: 50_000,
        login_further: 350_000,
        login_again: 25_000,
        login_many: 14,
        login_habit: 3,
        login_long: 1_200_000,
        fresh: ByEffect {
            read: 1_400_000,
            write: 850_000,
            send: 1_450_000,
            pay: 950_000,
            delete: 750_000,
            rights: 1_000_000,
        },
        fresh_mild: 150,
        fresh_failed: 300,
        rare: 5_000_000,
        prior_days: 3,
        settled_days: 12,
        other_days: 350,
        same_day: 1,
        many: ByEffect { read: 40, write: 9, send: 8, pay: 6, delete: 8, rights: 8 },
        many_acts: 8,
        many_times: 2,
        rate: ByEffect {
            read: 50_000,
            write: 850_000,
            send: 850_000,
            pay: 850_000,
            delete: 850_000,
            rights: 850_000,
        },
        many_pays: 12,
        pay_rate: 100_000,
        amount: 40_000,
        amount_steps: 5,
        amount_known: 3,
        recent: PerFamily([1_000, 0, 0, 0]),
        hourly: PerFamily([0, 1_000, 1_000, 1_000]),
        daily: PerFamily([0, 20, 20, 20]),
        knee: 2_000_000,
        beyond: 60,
        beyond_most: 600_000,
    };
}
