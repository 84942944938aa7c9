-- What a patient is known by in `patient_visits`: the account, and the e-mail address that was given or is the
-- account's. Empty for a guest who has not typed an address yet.
CREATE OR REPLACE FUNCTION patient_keys(user_id bigint, user_email text) RETURNS bytea[] LANGUAGE sql STABLE AS $$
    SELECT
        array_remove(
            ARRAY[
                sha256(convert_to('user:' || patient_keys.user_id, 'UTF8')),
                sha256(
                    convert_to(
                        'email:' || email_key(
                            coalesce(
                                patient_keys.user_email,
                                (SELECT u.email FROM users AS u WHERE u.id = patient_keys.user_id)
                            )
                        ),
                        'UTF8'
                    )
                )
            ],
            NULL
        )
$$;
