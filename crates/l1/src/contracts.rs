//! The contracts of `contracts/`, read from the artifacts that are committed there.

#![allow(missing_docs, clippy::all, clippy::pedantic, clippy::nursery, reason = "made by a macro")]

use alloy_sol_types::sol;

sol!(BatchInbox, "../../contracts/artifacts/BatchInbox.json");
sol!(ClusterRegistry, "../../contracts/artifacts/ClusterRegistry.json");
sol!(ForcedQueue, "../../contracts/artifacts/ForcedQueue.json");
sol!(OpenPolicy, "../../contracts/artifacts/OpenPolicy.json");
