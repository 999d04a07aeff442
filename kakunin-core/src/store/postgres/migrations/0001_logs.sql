-- Logs and what follows from them. Names of roles are psql's variables: owner, application, auditor.
--
-- audit is written once: the application inserts and selects, and nobody updates, deletes or truncates. Its owner is a role
-- that nobody logs in as, and a trigger refuses what even the owner or a superuser tries in passing. state is what the
-- application keeps up to date: heads, projections, and what lies beside the logs.
--
-- Every primary key but that of audit.bound_key begins with the log, or with the issuer whose log it is, so that tables can
-- be distributed by it. bound_key is one for the whole deployment: a key is one agent's whatever the tenant.

CREATE SCHEMA audit AUTHORIZATION :"owner";
CREATE SCHEMA state AUTHORIZATION :"owner";
SET LOCAL ROLE :"owner";

CREATE FUNCTION audit.deny() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $deny$
BEGIN
  RAISE EXCEPTION 'append-only: % on %.% refused', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
    USING ERRCODE = 'insufficient_privilege';
END
$deny$;

-- Which migrations were run. compatible_from is the oldest schema whose programs work with this one.
CREATE TABLE audit.migration(
  version integer PRIMARY KEY,
  name text NOT NULL,
  sha256 text NOT NULL,
  compatible_from integer NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  applied_by text NOT NULL DEFAULT session_user
);

-- The leaf is what counts; kind, agent and at repeat what it says, for who looks with SQL. The month is that of the append,
-- so that it never decreases within a log. It comes after the index in the key: entries are looked for by index.
CREATE TABLE audit.entry(
  log text COLLATE "C" NOT NULL,
  month date NOT NULL,
  idx bigint NOT NULL CHECK (idx >= 0),
  kind integer,
  agent uuid,
  at timestamptz,
  leaf bytea NOT NULL CHECK (octet_length(leaf) <= 512),
  salt bytea CHECK (octet_length(salt) = 32),
  payload bytea,
  CHECK ((salt IS NULL) = (payload IS NULL)),
  PRIMARY KEY (log, idx, month)
) PARTITION BY RANGE (month);
-- Payloads are encrypted: nothing compresses them.
ALTER TABLE audit.entry ALTER COLUMN payload SET STORAGE EXTERNAL;

-- Months that are too far off for a partition of their own: a clock that was set wrong is not to stop a log.
CREATE TABLE audit.entry_other PARTITION OF audit.entry DEFAULT;

-- Where the entries of a month begin, by log: which partitions a range of indices lies in.
CREATE TABLE audit.span(
  log text COLLATE "C" NOT NULL,
  first bigint NOT NULL,
  month date NOT NULL,
  PRIMARY KEY (log, first)
);

CREATE TABLE audit.bound_key(
  key bytea PRIMARY KEY CHECK (octet_length(key) = 20),
  agent bytea NOT NULL CHECK (octet_length(agent) = 16)
);

-- A trigger on a partitioned table does not see who names a partition: each has its own. ENABLE ALWAYS, since others are
-- passed over under session_replication_role = replica.
CREATE TRIGGER deny BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.migration FOR EACH STATEMENT EXECUTE FUNCTION audit.deny();
CREATE TRIGGER deny BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.entry FOR EACH STATEMENT EXECUTE FUNCTION audit.deny();
CREATE TRIGGER deny BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.entry_other FOR EACH STATEMENT EXECUTE FUNCTION audit.deny();
CREATE TRIGGER deny BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.span FOR EACH STATEMENT EXECUTE FUNCTION audit.deny();
CREATE TRIGGER deny BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.bound_key FOR EACH STATEMENT EXECUTE FUNCTION audit.deny();
ALTER TABLE audit.migration ENABLE ALWAYS TRIGGER deny;
ALTER TABLE audit.entry ENABLE ALWAYS TRIGGER deny;
ALTER TABLE audit.entry_other ENABLE ALWAYS TRIGGER deny;
ALTER TABLE audit.span ENABLE ALWAYS TRIGGER deny;
ALTER TABLE audit.bound_key ENABLE ALWAYS TRIGGER deny;

-- Makes the partition of a month, with its trigger, before it is attached; says whether there is one. The application may
-- call it, and gets none but of a month between the last and three from now: nobody can make a million.
CREATE FUNCTION audit.make_month(wanted date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $make_month$
DECLARE
  begins date := date_trunc('month', wanted::timestamp)::date;
  present date := date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC')::date;
  named text := 'entry_' || to_char(begins, 'YYYY_MM');
BEGIN
  IF to_regclass('audit.' || named) IS NOT NULL THEN
    RETURN true;
  END IF;
  IF begins < present - interval '1 month' OR begins > present + interval '3 months' THEN
    RETURN false;
  END IF;
  -- One at a time: of two that make it at once, the other finds it.
  PERFORM pg_advisory_xact_lock(hashtext('kakunin.make_month'));
  -- Not to_regclass, which remembers that there was none before the lock was waited for.
  IF EXISTS (SELECT FROM pg_class WHERE relnamespace = 'audit'::regnamespace AND relname = named) THEN
    RETURN true;
  END IF;
  EXECUTE format('CREATE TABLE audit.%I (LIKE audit.entry INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE INCLUDING INDEXES)', named);
  EXECUTE format('CREATE TRIGGER deny BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.%I FOR EACH STATEMENT EXECUTE FUNCTION audit.deny()', named);
  EXECUTE format('ALTER TABLE audit.%I ENABLE ALWAYS TRIGGER deny', named);
  -- Not CREATE TABLE ... PARTITION OF: that would keep everybody who appends waiting.
  EXECUTE format('ALTER TABLE audit.entry ATTACH PARTITION audit.%I FOR VALUES FROM (%L) TO (%L)',
    named, begins, (begins + interval '1 month')::date);
  RETURN true;
EXCEPTION
  -- Whoever waited for the lock may not see yet what the other made.
  WHEN duplicate_table THEN
    RETURN true;
  -- Entries of that month lie in entry_other already, from a time when it was too far off: there they go on.
  WHEN check_violation THEN
    RETURN false;
END
$make_month$;

-- Makes each key its agent's, for good; refuses all of them with KK002 if one is another's.
CREATE FUNCTION audit.bind(keys bytea[], agents bytea[]) RETURNS void LANGUAGE plpgsql AS $bind$
DECLARE
  taken record;
BEGIN
  INSERT INTO audit.bound_key(key, agent) SELECT b.key, b.agent FROM unnest(keys, agents) AS b(key, agent)
    ON CONFLICT (key) DO NOTHING;
  SELECT b.key, k.agent INTO taken FROM unnest(keys, agents) AS b(key, agent) JOIN audit.bound_key k ON k.key = b.key
    WHERE k.agent <> b.agent LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'the key belongs to another agent' USING ERRCODE = 'KK002',
      DETAIL = encode(taken.key, 'hex') || ' ' || encode(taken.agent, 'hex');
  END IF;
END
$bind$;

-- The newest head of each log. Rows are updated all the time: room on their pages keeps that off the index.
CREATE TABLE state.head(
  log text COLLATE "C" PRIMARY KEY,
  size bigint NOT NULL,
  at bigint NOT NULL,
  frontier bytea NOT NULL,
  checkpoint text NOT NULL
) WITH (fillfactor = 40, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON COLUMN state.head.at IS 'time of the last record, in Unix milliseconds';

CREATE TABLE state.applied(
  log text COLLATE "C" PRIMARY KEY,
  size bigint NOT NULL
) WITH (fillfactor = 40, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE state.row(
  log text COLLATE "C" NOT NULL,
  kind smallint NOT NULL,
  key bytea NOT NULL,
  value bytea NOT NULL,
  PRIMARY KEY (log, kind, key)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE state.revocation(
  issuer bytea NOT NULL,
  idx bigint NOT NULL,
  serial bytea NOT NULL,
  held boolean NOT NULL,
  cause text NOT NULL,
  record text NOT NULL,
  PRIMARY KEY (issuer, idx),
  UNIQUE (issuer, serial)
);

CREATE TABLE state.revocation_applied(
  issuer bytea PRIMARY KEY,
  size bigint NOT NULL
) WITH (fillfactor = 40);

-- Whether there is room again is found out by writing this much, and giving it up.
CREATE TABLE state.room(log text COLLATE "C" PRIMARY KEY, filler text NOT NULL);

-- Moves the head of a log, if it is the expected one; else KK001. Whoever comes while another moves it waits for the outcome,
-- so that the later of two that are under way stands on the earlier.
CREATE FUNCTION state.advance(
  the_log text, expected_size bigint, expected_at bigint, expected_frontier bytea,
  next_size bigint, next_at bigint, next_frontier bytea, next_checkpoint text
) RETURNS void LANGUAGE plpgsql AS $advance$
DECLARE
  there record;
BEGIN
  IF expected_size = 0 THEN
    INSERT INTO state.head(log, size, at, frontier, checkpoint)
      VALUES (the_log, next_size, next_at, next_frontier, next_checkpoint) ON CONFLICT (log) DO NOTHING;
    IF NOT FOUND OR expected_at <> 0 THEN
      RAISE EXCEPTION 'not the head of the log' USING ERRCODE = 'KK001';
    END IF;
  ELSE
    SELECT h.size, h.at, h.frontier INTO there FROM state.head h WHERE h.log = the_log FOR UPDATE;
    IF NOT FOUND OR there.size <> expected_size OR there.at <> expected_at OR there.frontier <> expected_frontier THEN
      RAISE EXCEPTION 'not the head of the log' USING ERRCODE = 'KK001';
    END IF;
    UPDATE state.head SET size = next_size, at = next_at, frontier = next_frontier, checkpoint = next_checkpoint
      WHERE log = the_log;
  END IF;
  -- What follows from the records comes in the same transaction.
  INSERT INTO state.applied(log, size) VALUES (the_log, next_size)
    ON CONFLICT (log) DO UPDATE SET size = excluded.size;
END
$advance$;

-- Sets and takes away rows of a log, if its records were not applied up to that size yet; says whether it did.
CREATE FUNCTION state.apply(
  the_log text, upto bigint, kinds smallint[], keys bytea[], vals bytea[], gone_kinds smallint[], gone_keys bytea[]
) RETURNS boolean LANGUAGE plpgsql AS $apply$
BEGIN
  INSERT INTO state.applied AS a (log, size) VALUES (the_log, upto)
    ON CONFLICT (log) DO UPDATE SET size = excluded.size WHERE a.size < excluded.size;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  DELETE FROM state.row r USING unnest(gone_kinds, gone_keys) AS g(kind, key)
    WHERE r.log = the_log AND r.kind = g.kind AND r.key = g.key;
  INSERT INTO state.row(log, kind, key, value) SELECT the_log, p.kind, p.key, p.value
    FROM unnest(kinds, keys, vals) AS p(kind, key, value)
    ON CONFLICT (log, kind, key) DO UPDATE SET value = excluded.value;
  RETURN true;
END
$apply$;

-- Applies changes of an issuer's list that were not applied yet. The first revocation of a serial stands, a hold gives way to
-- it, and only a hold is released. A release has no record.
CREATE FUNCTION state.revoke(
  the_issuer bytea, upto bigint, indices bigint[], serials bytea[], holds boolean[], causes text[], records text[]
) RETURNS void LANGUAGE plpgsql AS $revoke$
DECLARE
  done bigint;
  change record;
  standing boolean;
BEGIN
  INSERT INTO state.revocation_applied(issuer, size) VALUES (the_issuer, 0) ON CONFLICT (issuer) DO NOTHING;
  SELECT a.size INTO done FROM state.revocation_applied a WHERE a.issuer = the_issuer FOR UPDATE;
  IF done >= upto THEN
    RETURN;
  END IF;
  FOR change IN SELECT * FROM unnest(indices, serials, holds, causes, records) AS c(idx, serial, held, cause, record)
      WHERE c.idx >= done ORDER BY c.idx LOOP
    SELECT r.held INTO standing FROM state.revocation r WHERE r.issuer = the_issuer AND r.serial = change.serial;
    -- standing: null if it is accepted, true if it is held, false if it is revoked.
    IF standing OR (standing IS NULL AND change.record IS NOT NULL) THEN
      DELETE FROM state.revocation WHERE issuer = the_issuer AND serial = change.serial;
      IF change.record IS NOT NULL THEN
        INSERT INTO state.revocation(issuer, idx, serial, held, cause, record)
          VALUES (the_issuer, change.idx, change.serial, change.held, change.cause, change.record);
      END IF;
    END IF;
  END LOOP;
  UPDATE state.revocation_applied SET size = upto WHERE issuer = the_issuer;
END
$revoke$;

-- Rows with the names of their tables, for who looks with SQL.
CREATE VIEW state.named_row AS
  SELECT r.log, n.name AS kind, r.key, r.value FROM state.row r LEFT JOIN (VALUES
    (1, 'agent'), (2, 'certificate'), (3, 'plan'), (4, 'dedup'), (5, 'inbox'), (6, 'risk'), (7, 'vault'), (8, 'cursor'),
    (9, 'standing'), (10, 'seal'), (11, 'deployment'), (12, 'authority'), (13, 'tenant'), (14, 'api_key'),
    (15, 'api_key_commitment'), (16, 'crl_mark'), (17, 'crl'), (18, 'layout'), (19, 'policy'), (20, 'breaker'),
    (21, 'webhook'), (22, 'delivery'), (23, 'read_mark'), (24, 'approval'), (27, 'index'), (28, 'tile')
  ) AS n(code, name) ON n.code = r.kind;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA audit, state FROM PUBLIC;
GRANT USAGE ON SCHEMA audit, state TO :"application", :"auditor";
GRANT SELECT, INSERT ON audit.entry, audit.span, audit.bound_key TO :"application";
GRANT SELECT ON audit.migration TO :"application";
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA audit, state TO :"application";
GRANT SELECT, INSERT, UPDATE, DELETE ON state.head, state.applied, state.row, state.revocation, state.revocation_applied, state.room
  TO :"application";
GRANT SELECT ON state.named_row TO :"application";
-- Secrets lie in state.row, sealed or not: an auditor reads logs, heads and what is revoked.
GRANT SELECT ON audit.migration, audit.entry, audit.span, audit.bound_key, state.head, state.revocation TO :"auditor";
