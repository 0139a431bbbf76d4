//! The suite has teeth: each of these mistakes, made on purpose in a copy of the
//! sources, is found by the test that is named for it. None survives.
//!
//! A mistake that cannot be made any more because the code has changed fails too:
//! write it for the code as it is now.
#![cfg(test)]

use std::collections::BTreeMap;

use acceptance::workshop::{Killer, Mutant, Ran, Workshop};

const PIPELINE: (&str, &str) = ("qx-pipeline", "simulation");
const STORE: (&str, &str) = ("qx-store", "with_databases");
const BROKER: (&str, &str) = ("qx-broker", "with_server");

const fn killer(target: (&'static str, &'static str), test: &'static str) -> Killer {
    Killer { target, test }
}

const MUTANTS: [Mutant; 18] = [
    Mutant {
        name: "acknowledged before the commit",
        file: "host/pipeline/src/consumer/deliver.rs",
        from: "            let work = pin!(self.work(&delivery, envelope, given));\n",
        to: "            drop(receipt.ack().await);\n            let work = pin!(self.work(&delivery, envelope, given));\n",
        killer: killer(
            PIPELINE,
            "what_a_handler_did_is_committed_and_only_then_acknowledged",
        ),
    },
    Mutant {
        name: "terminated before the dead letter",
        file: "host/pipeline/src/consumer/deliver.rs",
        from: "            Conclusion::Dead(reason) => {\n",
        to: "            Conclusion::Dead(reason) => {\n                drop(delivery.receipt.term(\"early\").await);\n",
        killer: killer(
            PIPELINE,
            "the_last_failure_is_written_down_before_the_message_is_terminated",
        ),
    },
    Mutant {
        name: "marked before it is published",
        file: "host/pipeline/src/relay.rs",
        from: "        let in_hand = self.in_hand(&batch, ahead);\n        let work = futures::future::join3(\n",
        to: "        let in_hand = self.in_hand(&batch, ahead);\n        let early = batch.seqs().map(|seq| PublishedRow {\n            \
             seq,\n            \
             stored: qx_events::ports::StoredAt { stream: String::new(), sequence: 0, duplicate: false },\n            \
             stream_created_ns: None,\n        });\n        \
             let sorted = Sorted { stored: early.collect(), ..Sorted::default() };\n        \
             ahead.keep(Unmarked { sorted, begun }, Batch::default());\n        \
             self.mark_all(lease, ahead).await?;\n        \
             let work = futures::future::join3(\n",
        killer: killer(
            PIPELINE,
            "a_row_is_marked_only_after_the_stream_has_stored_it",
        ),
    },
    Mutant {
        name: "a swap without a drain",
        file: "host/pipeline/src/mediator/build.rs",
        from: "        Arc::ptr_eq(&self.component, component)\n",
        to: "        self.component.name == component.name\n",
        killer: killer(
            PIPELINE,
            "after_a_swap_nothing_begins_on_the_old_build_not_even_what_waited_for_its_turn",
        ),
    },
    Mutant {
        name: "a broker that forgets is believed",
        file: "host/pipeline/src/relay.rs",
        from: "        if !standing.is_due(lease, connection, Instant::now()) {",
        to: "        if standing.is_connected(connection) || !standing.is_due(lease, connection, Instant::now()) {",
        killer: killer(
            PIPELINE,
            "a_stream_that_is_made_anew_behind_a_standing_connection_gets_every_row_again",
        ),
    },
    Mutant {
        name: "scanning by the last id",
        file: "host/store/src/postgres/outbox.rs",
        from: "    WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NULL AND seq <= $2\n    ORDER BY seq LIMIT $1\";",
        to: "    WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NULL AND seq <= $2 AND seq > coalesce(\n        \
             (SELECT max(seq) FROM qx_outbox_events WHERE published_at IS NOT NULL), 0)\n    ORDER BY seq LIMIT $1\";",
        killer: killer(
            STORE,
            "a_row_whose_transaction_ends_late_is_read_after_later_ones_went_out",
        ),
    },
    Mutant {
        name: "marking without the fence",
        file: "host/store/src/postgres/outbox.rs",
        from: "        SELECT 1 FROM qx_leases WHERE name = $6 AND token = $1\n    ), marked AS (",
        to: "        SELECT 1 FROM qx_leases WHERE name = $6 AND token >= $1\n    ), marked AS (",
        killer: killer(
            STORE,
            "postgres::a_holder_that_lost_the_lease_changes_nothing",
        ),
    },
    Mutant {
        name: "an inbox that knows nothing",
        file: "host/store/src/postgres/ledger.rs",
        from: "    ON CONFLICT DO NOTHING\n    RETURNING component, event_id\";",
        to: "    ON CONFLICT (component, event_id) DO UPDATE SET digest = excluded.digest\n    RETURNING component, event_id\";",
        killer: killer(STORE, "postgres::an_event_is_handled_once"),
    },
    Mutant {
        name: "a value that was changed since it was read is written over",
        file: "migrations/postgres/0015_settle.sql",
        from: "        WHERE s.ctid = f.place AND s.version = f.version;\n",
        to: "        WHERE s.ctid = f.place;\n",
        killer: killer(
            STORE,
            "postgres::a_key_made_again_does_not_match_its_old_version",
        ),
    },
    Mutant {
        name: "who was fenced off settles straight away",
        file: "migrations/postgres/0015_settle.sql",
        from: "        WHERE l.token = t.token;\n",
        to: "        WHERE l.token >= t.token;\n",
        killer: killer(
            STORE,
            "postgres::what_was_fenced_off_commits_nothing_and_its_group_goes_through",
        ),
    },
    Mutant {
        name: "the bound on state is looked at only of who was found full before",
        file: "host/store/src/postgres/ledger.rs",
        from: "    if look == Look::Last && sizes.iter().any(over) {",
        to: "    if look == Look::First && sizes.iter().any(over) {",
        killer: killer(STORE, "postgres::many_hosts_at_once_do_not_pass_it"),
    },
    Mutant {
        name: "nobody is waited for",
        file: "host/pipeline/src/relay/latecomers.rs",
        from: "        self.last = open.fold(self.newest, i64::min);\n",
        to: "        drop(open);\n        self.last = self.newest;\n",
        killer: killer(
            PIPELINE,
            "a_strict_relay_stores_no_row_before_an_earlier_one_whoever_commits_first",
        ),
    },
    Mutant {
        name: "who holds locks is looked for by the number of a transaction",
        file: "host/store/src/postgres/writers.rs",
        from: "HAVING bool_or(locktype = 'relation')",
        to: "HAVING bool_or(locktype = 'relation') AND bool_or(locktype = 'transactionid')",
        killer: killer(
            STORE,
            "who_is_about_to_write_is_open_before_it_has_a_number",
        ),
    },
    Mutant {
        name: "what is lost is forgotten while rows before it are being marked",
        file: "host/pipeline/src/relay/ahead.rs",
        from: "        let is_marked = self.mark_all(lease, ahead).await?;\n",
        to: "        let is_marked = lease.token > 0;\n",
        killer: killer(
            PIPELINE,
            "what_a_stream_lost_while_it_was_being_marked_goes_out_again",
        ),
    },
    Mutant {
        name: "where the stream fell back to is forgotten with the pass",
        file: "host/pipeline/src/relay/standing.rs",
        from: "        self.seen = None;\n",
        to: "        (self.seen, self.fell_back) = (None, None);\n",
        killer: killer(
            PIPELINE,
            "an_end_that_is_lost_behind_a_standing_connection_is_found_out_by_the_answers",
        ),
    },
    Mutant {
        name: "one answer for many is believed whatever it says",
        file: "host/broker/src/publisher/ingest/answer.rs",
        from: "        }) if count == sent && last == behind.saturating_add(sent) => {\n",
        to: "        }) if count == sent || last > behind => {\n",
        killer: killer(BROKER, "what_is_there_already_is_found_among_many"),
    },
    Mutant {
        name: "many go on behind one that is missing",
        file: "host/broker/src/publisher/ingest.rs",
        from: "{inbox}.1.{FLOW}.fail.{number}.{operation}.$FI",
        to: "{inbox}.1.{FLOW}.ok.{number}.{operation}.$FI",
        killer: killer(
            BROKER,
            "nothing_overtakes_one_of_many_that_the_stream_has_no_room_for",
        ),
    },
    Mutant {
        name: "no message id",
        file: "host/broker/src/publisher.rs",
        from: "        .message_id(message.message_id.to_string());\n",
        to: "        ;\n",
        killer: killer(BROKER, "a_message_sent_again_is_stored_once"),
    },
];

#[tokio::test]
async fn every_mutant_is_killed_by_the_test_that_is_named_for_it() {
    let workshop = Workshop::open();
    let mut killers: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for mutant in &MUTANTS {
        let own = killers.entry(mutant.killer.target).or_default();
        own.push(mutant.killer.test);
    }
    // As the sources are, every killer is content.
    for (target, mut tests) in killers {
        tests.sort_unstable();
        tests.dedup();
        let ran = workshop.run(target, &tests).await;
        let content = matches!(ran, Ran::Passed(count) if count == tests.len());
        assert!(content, "{target:?} {tests:?}: {ran:?}");
    }
    let mut alive = Vec::new();
    for mutant in &MUTANTS {
        match workshop.try_mutant(mutant).await {
            Ok(Ran::Failed) => {}
            Ok(Ran::Passed(_)) => {
                let survived = format!("{}: survived {}", mutant.name, mutant.killer.test);
                alive.push(survived);
            }
            Ok(Ran::NotCompiled(said)) | Err(said) => {
                alive.push(format!("{}: {said}", mutant.name));
            }
        }
    }
    assert!(alive.is_empty(), "{}", alive.join("\n"));
}
