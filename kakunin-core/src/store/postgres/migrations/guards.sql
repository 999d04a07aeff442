-- Guards of structure, where the migrator is a superuser: event triggers are nobody else's to make. They refuse what would
-- leave the tables of audit other than they were made, whoever tries, by looking at what is there after each command. A
-- superuser can disable them; the check of a store notices what was done meanwhile. They and their functions belong to the
-- superuser, so that the tables' owner cannot replace them. make_month passes: what it makes is guarded before it is attached.

DROP EVENT TRIGGER IF EXISTS kakunin_structure;
DROP EVENT TRIGGER IF EXISTS kakunin_drop;
DROP EVENT TRIGGER IF EXISTS kakunin_rewrite;
CREATE SCHEMA IF NOT EXISTS kakunin_guard;

CREATE OR REPLACE FUNCTION kakunin_guard.structure() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $structure$
DECLARE
  other record;
  has_rows boolean;
BEGIN
  FOR other IN SELECT c.oid, c.relname, c.relispartition OR c.relname IN ('entry', 'span', 'bound_key', 'migration') AS ours,
      EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'deny' AND t.tgenabled = 'A' AND t.tgtype = 58
        AND t.tgqual IS NULL AND t.tgattr = '' AND t.tgfoid = to_regprocedure('audit.deny()')) AS guarded,
      EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname <> 'deny')
        OR EXISTS (SELECT FROM pg_rewrite w WHERE w.ev_class = c.oid) AS others,
      c.relowner <> n.nspowner OR EXISTS (SELECT FROM aclexplode(c.relacl) a
        WHERE a.grantee <> c.relowner AND a.privilege_type IN ('UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER'))
        OR EXISTS (SELECT FROM pg_attribute b, aclexplode(b.attacl) a
          WHERE b.attrelid = c.oid AND a.grantee <> c.relowner AND a.privilege_type = 'UPDATE') AS granted
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'audit' AND c.relkind IN ('r', 'p')
  LOOP
    IF other.ours AND NOT other.guarded THEN
      RAISE EXCEPTION 'append-only: % would leave audit.% without its trigger', tg_tag, other.relname
        USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF other.others OR other.granted THEN
      RAISE EXCEPTION 'append-only: % would let somebody change audit.%', tg_tag, other.relname
        USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NOT other.ours THEN
      EXECUTE format('SELECT EXISTS (SELECT FROM audit.%I)', other.relname) INTO has_rows;
      IF has_rows THEN
        RAISE EXCEPTION 'append-only: % would leave audit.% out of its table', tg_tag, other.relname
          USING ERRCODE = 'insufficient_privilege';
      END IF;
    END IF;
  END LOOP;
  IF EXISTS (SELECT FROM pg_namespace WHERE nspname = 'audit') AND NOT EXISTS (
    SELECT FROM pg_proc p WHERE p.oid = to_regprocedure('audit.deny()')
      AND encode(sha256(convert_to(p.prosrc, 'UTF8')), 'hex') = :'deny')
  THEN
    RAISE EXCEPTION 'append-only: % would change what refuses changes', tg_tag USING ERRCODE = 'insufficient_privilege';
  END IF;
END
$structure$;

CREATE OR REPLACE FUNCTION kakunin_guard.dropped() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $dropped$
DECLARE
  gone record;
BEGIN
  FOR gone IN SELECT o.object_identity FROM pg_event_trigger_dropped_objects() o
    WHERE o.schema_name = 'audit' OR o.object_identity = 'audit' OR o.object_identity LIKE '% on audit.%'
  LOOP
    RAISE EXCEPTION 'append-only: % of % refused', tg_tag, gone.object_identity USING ERRCODE = 'insufficient_privilege';
  END LOOP;
END
$dropped$;

-- ALTER TABLE ... ALTER COLUMN ... USING would write every row anew, and no other trigger sees it.
CREATE OR REPLACE FUNCTION kakunin_guard.rewritten() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $rewritten$
BEGIN
  IF EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = pg_event_trigger_table_rewrite_oid() AND n.nspname = 'audit')
  THEN
    RAISE EXCEPTION 'append-only: % would write rows anew', tg_tag USING ERRCODE = 'insufficient_privilege';
  END IF;
END
$rewritten$;

CREATE EVENT TRIGGER kakunin_structure ON ddl_command_end EXECUTE FUNCTION kakunin_guard.structure();
CREATE EVENT TRIGGER kakunin_drop ON sql_drop EXECUTE FUNCTION kakunin_guard.dropped();
CREATE EVENT TRIGGER kakunin_rewrite ON table_rewrite EXECUTE FUNCTION kakunin_guard.rewritten();
ALTER EVENT TRIGGER kakunin_structure ENABLE ALWAYS;
ALTER EVENT TRIGGER kakunin_drop ENABLE ALWAYS;
ALTER EVENT TRIGGER kakunin_rewrite ENABLE ALWAYS;
