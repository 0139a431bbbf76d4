//! The contracts of outbox, ledger, leases and dead letters, kept by each adapter: the
//! same promises on SQLite, on PostgreSQL, and on PostgreSQL as behind a pooler.

mod attempts;
mod dead_letters;
mod deployments;
mod leases;
mod ledger;
mod letters_at_work;
mod lost;
mod outbox;
mod pauses;
mod races;
mod sizes;

macro_rules! contract {
    (
        $($part:ident::$promise:ident,)+
        ; settling: $($settler:ident::$settling:ident,)+
    ) => {
        contract! { @sqlite: $($part::$promise,)+ $($settler::$settling,)+ }
        contract! { @postgres: $($part::$promise,)+ $($settler::$settling,)+ }
        contract! { @pooled: $($part::$promise,)+ $($settler::$settling,)+ }
        contract! { @wary: $($settler::$settling,)+ }
    };
    (@$database:ident: $($part:ident::$promise:ident,)+) => {
        mod $database {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    let world = crate::world::World::$database().await;
                    super::$part::$promise(&world).await;
                }
            )+
        }
    };
}

contract! {
    outbox::a_recorded_row_waits_with_everything_its_producer_gave,
    outbox::rows_wait_in_the_order_in_which_they_were_recorded,
    outbox::a_row_that_waits_so_long_is_due_by_the_databases_clock,
    outbox::a_row_with_a_due_time_stays_away_until_then_and_stands_behind_the_others,
    outbox::a_rolled_back_row_is_never_seen,
    outbox::an_envelope_goes_out_as_json_allows,
    outbox::one_holder_has_the_lease_until_its_term_ends,
    outbox::a_released_lease_can_be_taken_at_once,
    outbox::marked_rows_wait_no_longer_and_know_where_they_are,
    outbox::a_holder_that_lost_the_lease_changes_nothing,
    outbox::a_row_that_is_marked_stays_as_it_is,
    outbox::a_row_set_aside_is_visible_and_read_no_more,
    outbox::nothing_is_given_up_for_its_attempts,
    outbox::only_old_published_rows_are_cleaned_up,
    outbox::the_newest_rows_are_seen_whatever_became_of_them,
    outbox::status_counts_what_is_there,
    lost::rows_of_another_stream_wait_again_and_forget_where_they_were,
    lost::rows_behind_the_end_of_the_stream_wait_again_in_their_order,
    lost::rows_whose_stream_nobody_knows_stay_published,
    lost::what_is_lost_waits_again_a_few_at_a_time,
    lost::a_holder_that_lost_the_lease_lets_nothing_wait_again,
    ledger::many_keys_are_read_at_once_each_in_its_place,
    sizes::what_was_changed_beside_the_count_is_counted_when_somebody_asks,
    attempts::what_was_noted_is_known_of_this_component_and_event,
    attempts::a_note_written_twice_is_one_and_attempts_never_fall,
    attempts::a_note_of_who_was_fenced_off_is_dropped,
    attempts::a_pause_is_kept_by_the_clock_of_the_database,
    attempts::an_event_is_dead_with_its_letter_and_stays_dead_without_it,
    attempts::old_records_are_forgotten,
    pauses::a_pause_is_kept_with_its_words_until_it_is_resumed,
    deployments::the_history_of_a_component_is_kept_newest_first_and_bounded,
    deployments::a_build_that_was_taken_back_is_refused_until_a_person_allows_it,
    races::a_lease_goes_to_one_of_many,
    leases::a_lease_is_one_holders_until_its_term_ends,
    leases::a_holder_that_takes_its_lease_again_fences_its_former_self_off,
    leases::a_lease_given_back_can_be_taken_at_once,
    leases::leases_are_listed_with_their_holders,
    leases::a_letter_of_who_was_fenced_off_is_not_written,
    dead_letters::a_letter_comes_back_as_it_was_written,
    dead_letters::any_bytes_at_all_can_be_a_letter,
    dead_letters::a_letter_written_twice_is_one_letter_brought_up_to_date,
    dead_letters::letters_are_listed_newest_first_and_by_filter,
    dead_letters::a_requested_letter_is_handed_out_once_for_each_request,
    dead_letters::a_request_that_a_dead_host_took_is_handed_out_again_retry_1,
    dead_letters::a_request_during_a_retry_is_not_lost,
    dead_letters::a_failed_retry_is_one_more_attempt,
    dead_letters::only_the_letters_that_are_meant_are_dropped,
    letters_at_work::letters_are_meant_by_pattern_tenant_time_and_words,
    letters_at_work::an_edited_letter_keeps_the_body_of_the_message_beside_its_own,
    letters_at_work::a_letter_without_an_event_gets_that_of_its_first_envelope,
    letters_at_work::a_letter_that_is_being_retried_is_not_edited,
    letters_at_work::letters_expire_a_few_at_a_time_and_never_one_that_is_asked_for,
    // What settles a group: also where nothing is as it was read.
    ; settling:
    ledger::an_event_is_handled_once,
    ledger::the_same_event_twice_in_a_group_is_a_duplicate,
    ledger::state_is_kept_apart_by_component_and_tenant,
    ledger::a_stale_read_is_a_conflict_and_leaves_nothing,
    ledger::a_read_of_what_the_group_has_written_is_a_conflict,
    ledger::a_duplicate_in_the_group_writes_nothing_that_others_could_read,
    ledger::a_key_found_absent_must_still_be_absent,
    ledger::a_key_made_again_does_not_match_its_old_version,
    ledger::blind_writes_always_succeed,
    ledger::emitted_events_leave_in_their_order,
    ledger::a_replayed_letter_goes_with_the_commit_only,
    ledger::what_the_database_refuses_is_permanent_and_commits_nothing,
    sizes::one_key_too_many_is_refused_and_its_neighbours_go_through,
    sizes::deleting_makes_room_also_within_a_group,
    sizes::bytes_are_those_of_keys_and_values_over_all_tenants,
    sizes::what_is_too_much_already_can_be_changed_and_deleted,
    sizes::many_hosts_at_once_do_not_pass_it,
    races::counting_by_many_at_once_loses_nothing,
    races::an_absent_key_is_made_by_one_of_many,
    races::one_of_two_keys_found_absent_is_made,
    races::the_same_event_by_many_at_once_commits_once,
    races::a_call_that_is_given_up_leaves_nothing_locked,
    attempts::a_record_goes_with_the_commit_and_only_with_it,
    leases::what_was_fenced_off_commits_nothing_and_its_group_goes_through,
    leases::an_expired_lease_that_nobody_took_still_commits,
    leases::a_lease_is_not_taken_while_what_needs_it_is_being_written,
}
