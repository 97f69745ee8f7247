//! What happened in the days that were simulated: so that one sees that the faults really occur.

macro_rules! tally {
    ($($(#[$doc:meta])* $name:ident)*) => {
        /// Counts of what happened.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Tally {
            $($(#[$doc])* pub $name: u64,)*
            /// Spells of sickness, unreadiness, blindness, failing starts and crashes.
            pub spells: [u64; crate::plan::SPELLS],
        }

        impl Tally {
            /// Takes in those of other days.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
                for (mine, theirs) in self.spells.iter_mut().zip(other.spells) {
                    *mine += theirs;
                }
            }

            /// All of them, with their names.
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                let spells = ["sick", "unready", "unable to answer", "bad starts", "crashing"];
                let named = vec![$((stringify!($name), self.$name)),*];
                named.into_iter().chain(spells.into_iter().zip(self.spells)).collect()
            }
        }
    };
}

tally! {
    /// Simulated days.
    days
    /// Their seconds.
    seconds
    /// Steps of a world.
    events
    /// Supervisors that began.
    supervisors
    /// Runs begun.
    runs
    /// Automatic restarts.
    restarts
    /// Delays before one.
    delays
    /// Limits reached.
    failed
    /// Runs that ended well for good.
    completed
    /// Starts that waited for a dependency.
    waits
    /// Supervisors killed.
    deaths
    /// Killed between two steps.
    deaths_between
    /// Killed before a write.
    deaths_before_write
    /// Killed after a write, before the first action.
    deaths_after_write
    /// Killed after some of a step's actions.
    deaths_amid_actions
    /// Killed while taking over.
    deaths_in_adoption
    /// Killed when the disk was full.
    deaths_with_full_disk
    /// Runs that go on under the next supervisor.
    adopted
    /// Runs taken over while they were being started.
    taken_over_starting
    /// Runs taken over while they were up.
    taken_over_up
    /// Runs taken over in the middle of a preStop hook.
    taken_over_in_pre_stop
    /// Runs taken over after SIGTERM.
    taken_over_terminating
    /// Runs taken over after SIGKILL.
    taken_over_killed
    /// Runs that had ended meanwhile.
    found_dead
    /// Runs of which nothing was there.
    found_nothing
    /// Runs that nothing on disk told of, ended by the next start.
    unknown_ended
    /// Reboots of the machine.
    reboots
    /// Records lost in a power loss.
    power_losses
    /// Times that the machine slept.
    sleeps
    /// Times that the disk was full.
    disk_full
    /// Writes that failed.
    writes_failed
    /// Timers that fired late.
    late_deadlines
    /// Starts on request.
    starts_asked
    /// Stops on request.
    stops
    /// Restarts on request.
    restarts_asked
    /// Resets on request.
    resets
    /// Orderly ends of the supervisor.
    downs
    /// Orderly ends hurried.
    kills_asked
    /// Edits of the manifests.
    edits
    /// Edits while no supervisor lived.
    edits_while_dead
    /// Manifests applied.
    applies
    /// Components given another spec.
    replaced
    /// Components given another spec while they ran, which they must not take.
    specs_too_early
    /// Components given other labels.
    relabelled
    /// Components removed.
    removed
    /// Components that were started by somebody while a new spec was on its way.
    stopped_again
    /// Processes that ended by themselves when the plan said so.
    exits
    /// Starts that failed.
    bad_starts
    /// Starts given up.
    cancelled
    /// Main processes that left others behind.
    leftovers
    /// SIGTERMs.
    terminated
    /// SIGKILLs.
    killed
    /// Processes that SIGKILL did not end at once.
    unkillable
    /// Hooks run.
    hooks
    /// Good answers of probes.
    answers_good
    /// Bad ones.
    answers_bad
    /// Those that could not ask.
    answers_unknown
    /// Those that came late.
    answers_late
    /// Those that never came.
    answers_lost
    /// Times that a run told of itself: that it is ready or not, and wants time.
    told
    /// Reports that nobody was there to hear.
    reports_lost
    /// Reports about earlier runs.
    reports_of_old_runs
    /// Flips to not ready.
    not_ready
    /// Probes that could not ask for long.
    blind
}
