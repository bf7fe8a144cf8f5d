//! Suites whose scenarios run under several elections.

/// Tests of a suite, one module per election: `suite!([module: Election, …] (scenario, …))`. A scenario is a function
/// of its election.
macro_rules! suite {
    ([$($module:ident: $election:ident),*] $scenarios:tt) => {
        $(suite!(@ $module $election $scenarios);)*
    };
    (@ $module:ident $election:ident ($($scenario:ident),* $(,)?)) => {
        mod $module {
            $(
                #[test]
                fn $scenario() {
                    super::$scenario(baton_types::genesis::Election::$election);
                }
            )*
        }
    };
}
