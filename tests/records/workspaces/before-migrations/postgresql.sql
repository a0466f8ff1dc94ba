--
-- PostgreSQL database dump
--


-- Dumped from database version 18.6
-- Dumped by pg_dump version 18.6

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: entries; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.entries (
    sequence integer NOT NULL,
    kind character varying(64) NOT NULL,
    at character varying(32) NOT NULL,
    actor character varying(255) NOT NULL,
    cycle character varying(64) NOT NULL,
    payload text NOT NULL,
    key character varying(255),
    schema_version integer NOT NULL,
    previous_digest character varying(64) NOT NULL,
    digest character varying(64) NOT NULL
);


--
-- Name: leases; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.leases (
    name character varying(255) NOT NULL,
    owner character varying(255) NOT NULL,
    epoch integer NOT NULL,
    expires_at character varying(32) NOT NULL
);


--
-- Name: rollout_pairs; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rollout_pairs (
    sequence bigint NOT NULL,
    rollout character varying(64) NOT NULL,
    request_id character varying(255) NOT NULL,
    difference double precision NOT NULL,
    record text NOT NULL,
    answers bytea NOT NULL,
    picture bytea,
    schema_version integer NOT NULL
);


--
-- Name: rollout_pairs_sequence_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.rollout_pairs_sequence_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: rollout_pairs_sequence_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.rollout_pairs_sequence_seq OWNED BY public.rollout_pairs.sequence;


--
-- Name: rollout_pairs sequence; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rollout_pairs ALTER COLUMN sequence SET DEFAULT nextval('public.rollout_pairs_sequence_seq'::regclass);


--
-- Data for Name: entries; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.entries VALUES (1, 'data.ingested', '2026-03-02T09:00:00.000000+00:00', 'anna', 'cycle-2', '{"balance":{},"dvc_md5":"00000000000000000000000000000000.dir","fingerprint":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","git_commit":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","num_new_labelled":40,"num_new_pictures":40,"num_pictures":640,"num_quarantined":1,"source":"camera 2","tag":"data-v2"}', NULL, 1, '0000000000000000000000000000000000000000000000000000000000000000', 'cb8ff48d1767df49a8c659e29ecb2f33e217c32ab04c8c6099806792911b3497');
INSERT INTO public.entries VALUES (2, 'data.restored', '2026-03-02T09:01:00.000000+00:00', 'anna', 'cycle-2', '{"by":"anna","fingerprint":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","num_pictures":600,"previous_tag":"data-v3","tag":"data-v1","why":"the third batch was labelled wrongly"}', NULL, 1, 'cb8ff48d1767df49a8c659e29ecb2f33e217c32ab04c8c6099806792911b3497', 'd6ff9aa57049fa2ad5d0f0bbf27b2bf3f2cf5e762379145d9d5b227c8dd50a5e');
INSERT INTO public.entries VALUES (3, 'classes.changing', '2026-03-02T09:02:00.000000+00:00', 'anna', 'cycle-2', '{"by":"anna","class_names":["bolt","nut"],"dropped":["line-parts"],"merged":[["hex nut","nut"]],"num_instances_lost":3,"num_pictures_losing":2,"renamed":[["mutter","nut"]],"tag":"data-v1","why":"the exporter''s umbrella category"}', 'classes.changing:1', 1, 'd6ff9aa57049fa2ad5d0f0bbf27b2bf3f2cf5e762379145d9d5b227c8dd50a5e', '3189ead37b3632bb5e06dcedee101bf696808f1c46349cb0cb38d743ec208d13');
INSERT INTO public.entries VALUES (4, 'trigger.recorded', '2026-03-02T09:03:00.000000+00:00', 'anna', 'cycle-2', '{"baseline_tag":"data-v1","detail":"brightness and noise moved","is_taught":false,"reason":"drift","rejudges":"","starts_from":"champion","trigger_key":"drift:2026-03-02"}', NULL, 1, '3189ead37b3632bb5e06dcedee101bf696808f1c46349cb0cb38d743ec208d13', '4fea1be09a9c6894d0445abc530f75182f5e82dff29d3cae97dc0097774d49da');
INSERT INTO public.entries VALUES (5, 'trigger.suppressed', '2026-03-02T09:04:00.000000+00:00', 'anna', 'cycle-2', '{"reason":"a cycle is open","trigger_key":"drift:2026-03-03"}', NULL, 1, '4fea1be09a9c6894d0445abc530f75182f5e82dff29d3cae97dc0097774d49da', '0b10d4e7be47897534d760bd20d9ee6a2b1d7fbe26a2f7fe9478a8fd7e95552e');
INSERT INTO public.entries VALUES (6, 'trigger.joined', '2026-03-02T09:05:00.000000+00:00', 'anna', 'cycle-2', '{"detail":"drift found at 2026-03-02 09:00 UTC in pictures of camera 1 (window cccc)","reason":"drift","trigger_key":"drift:aaaa:bbbb:cccc"}', NULL, 1, '0b10d4e7be47897534d760bd20d9ee6a2b1d7fbe26a2f7fe9478a8fd7e95552e', 'efebc52052ce812acf1dbeb7aba0a31ac56f68c9f192582855fd35640e9a415a');
INSERT INTO public.entries VALUES (7, 'cycle.opened', '2026-03-02T09:06:00.000000+00:00', 'anna', 'cycle-2', '{"baseline_tag":"data-v1","detail":"brightness and noise moved","is_taught":false,"reason":"drift","rejudges":"","starts_from":"champion","takes_up":[],"trigger_key":"drift:2026-03-02"}', 'cycle.opened:1', 1, 'efebc52052ce812acf1dbeb7aba0a31ac56f68c9f192582855fd35640e9a415a', '8e64a7756e661582b7baabfd282e521ca363ed54df2b843945bebfee5cb49952');
INSERT INTO public.entries VALUES (8, 'cycle.waiting', '2026-03-02T09:07:00.000000+00:00', 'anna', 'cycle-2', '{"reason":"7 of 20 labelled pictures are there","waiting_for":"labels","way_out":"label and ingest 13 more"}', 'cycle.waiting:1', 1, '8e64a7756e661582b7baabfd282e521ca363ed54df2b843945bebfee5cb49952', 'bd667752937ea71dce948eccf51e1d0d82d3884fa7f2af5683b7358103c04aab');
INSERT INTO public.entries VALUES (9, 'training.started', '2026-03-02T09:08:00.000000+00:00', 'anna', 'cycle-2', '{"attempt":1,"code_revision":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","data_fingerprint":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","data_tag":"data-v2","device":"cpu","parent_digest":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","run_id":"cccccccccccccccccccccccccccccccc","settings_digest":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","teacher_digest":""}', NULL, 1, 'bd667752937ea71dce948eccf51e1d0d82d3884fa7f2af5683b7358103c04aab', 'f9ada9c5ed2cdb7b1010be8d98dbc07ff08265cdb89e73493a5d3eeda931a966');
INSERT INTO public.entries VALUES (10, 'training.advanced', '2026-03-02T09:09:00.000000+00:00', 'anna', 'cycle-2', '{"attempt":2,"step":50,"steps":400}', NULL, 1, 'f9ada9c5ed2cdb7b1010be8d98dbc07ff08265cdb89e73493a5d3eeda931a966', 'd5ff0019a12e464e01b669a74c987bd5ec9c05cff7b84b08f601fd4a60c4a1bc');
INSERT INTO public.entries VALUES (11, 'judging.started', '2026-03-02T09:10:00.000000+00:00', 'anna', 'cycle-2', '{"attempt":1,"version":"2"}', NULL, 1, 'd5ff0019a12e464e01b669a74c987bd5ec9c05cff7b84b08f601fd4a60c4a1bc', '3b8efd09358c224f0d89cf6e7471a119fe7a1beb0c58dac351a70b91dba866fb');
INSERT INTO public.entries VALUES (12, 'training.failed', '2026-03-02T09:11:00.000000+00:00', 'anna', 'cycle-2', '{"attempt":1,"reason":"the loss was not finite at step 12"}', NULL, 1, '3b8efd09358c224f0d89cf6e7471a119fe7a1beb0c58dac351a70b91dba866fb', 'a9ef41e1954b9c9c43b1d89fc874f4dca570cbbc166f0ea630b2e3d1e800e43f');
INSERT INTO public.entries VALUES (13, 'candidate.registered', '2026-03-02T09:12:00.000000+00:00', 'anna', 'cycle-2', '{"data_fingerprint":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","data_tag":"data-v2","requested_by":"rita","run_id":"cccccccccccccccccccccccccccccccc","seconds":61.5,"threshold_sources":[],"version":"2","weights_digest":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}', 'candidate.registered:1', 1, 'a9ef41e1954b9c9c43b1d89fc874f4dca570cbbc166f0ea630b2e3d1e800e43f', 'c31d2d38a91cce8101e158fd98a9a48614c53e0a5c5516c546f9a6c02fd4b971');
INSERT INTO public.entries VALUES (14, 'verdict.reached', '2026-03-02T09:13:00.000000+00:00', 'anna', 'cycle-2', '{"blessing_id":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","candidate_digest":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","candidate_version":"2","champion_digest":"eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee","checks":[{"measured":0.81,"name":"iou.class.nut","outcome":"inconclusive","reason":"12 test instances of nut, 20 are needed","required":0.6},{"measured":0.8,"name":"iou.mean","outcome":"pass","reason":"mean IoU of 4 classes is 0.800, floor 0.700","required":0.7}],"data_fingerprint":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","data_tag":"data-v2","evaluated_pictures_digest":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","outcome":"inconclusive","policy_digest":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}', NULL, 1, 'c31d2d38a91cce8101e158fd98a9a48614c53e0a5c5516c546f9a6c02fd4b971', 'd6e718a6048b5840e06affec8e08318a1aaa71e3a626395246ab795c3a262b2d');
INSERT INTO public.entries VALUES (15, 'approval.decided', '2026-03-02T09:14:00.000000+00:00', 'anna', 'cycle-2', '{"blessing_id":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","by":"anna","decision":"approved","policy_digest":"","version":"2","via":"mlflow","weights_digest":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","why":"the new camera is fine"}', NULL, 1, 'd6e718a6048b5840e06affec8e08318a1aaa71e3a626395246ab795c3a262b2d', '71e0ecfa221e1e817b9124f59aa4a79264c52349e242beebb03e3931dea2746d');
INSERT INTO public.entries VALUES (16, 'agreement.measured', '2026-03-02T09:15:00.000000+00:00', 'anna', 'cycle-2', '{"agreement":0.78,"class_flips":0.01,"data_tag":"data-v2","highest_count_shift":0.04,"lowest_count_shift":0.0,"num_pictures":120,"weights_digest":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}', NULL, 1, '71e0ecfa221e1e817b9124f59aa4a79264c52349e242beebb03e3931dea2746d', '362406ee0af27b1a45626fd6a04ac401501bc59b053c56f696fff560f1d8c02a');
INSERT INTO public.entries VALUES (17, 'rollout.started', '2026-03-02T09:16:00.000000+00:00', 'anna', 'cycle-2', '{"blessing_id":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","champion_digest":"eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee","champion_version":"1","highest_count_shift":0.29,"lowest_count_shift":-0.25,"max_class_flips":0.11,"required_agreement":0.71,"settings_digest":"cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc","steps_percent":[1.0,5.0,25.0,50.0,100.0],"version":"2","weights_digest":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}', NULL, 1, '362406ee0af27b1a45626fd6a04ac401501bc59b053c56f696fff560f1d8c02a', 'f0fb6ca1662df34ffb1f0a154a8ee43ba45248f3fe795bb007619d05a7f32c04');
INSERT INTO public.entries VALUES (18, 'rollout.moved', '2026-03-02T09:17:00.000000+00:00', 'anna', 'cycle-2', '{"checks":[{"measured":0.84,"name":"agreement","outcome":"pass","reason":"agreement is at least 0.79","required":0.71}],"event":"passed","num_compared":120,"phase":"progressing","reason":"120 pictures compared, all checks hold","share_percent":5.0}', NULL, 1, 'f0fb6ca1662df34ffb1f0a154a8ee43ba45248f3fe795bb007619d05a7f32c04', 'c6e4bce97158ba0c2c8b0dbf4034724927ae1fbc182b75a17d3cce82d2c99096');
INSERT INTO public.entries VALUES (19, 'champion.changing', '2026-03-02T09:18:00.000000+00:00', 'anna', 'cycle-2', '{"cause":"promotion","epoch":2,"previous_digest":"eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee","previous_version":"1","version":"2","weights_digest":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","why":"approved by anna"}', 'champion.changing:1', 1, 'c6e4bce97158ba0c2c8b0dbf4034724927ae1fbc182b75a17d3cce82d2c99096', '5be8c6105dce2dac7926c76993696226e14dd5e22b89969d10ab55309915db00');
INSERT INTO public.entries VALUES (20, 'champion.changed', '2026-03-02T09:19:00.000000+00:00', 'anna', 'cycle-2', '{"alias_moved":true,"cause":"promotion","epoch":2,"previous_digest":"eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee","previous_version":"1","version":"2","weights_digest":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","why":"approved by anna"}', 'champion.changed:1', 1, '5be8c6105dce2dac7926c76993696226e14dd5e22b89969d10ab55309915db00', 'da100e8e37abb6820818050b46a8722bb5fa1bef76538222af829d09f1a41b83');
INSERT INTO public.entries VALUES (21, 'champion.abandoned', '2026-03-02T09:20:00.000000+00:00', 'anna', 'cycle-2', '{"epoch":3,"reason":"there is no version 3","version":"3"}', 'champion.abandoned:1', 1, 'da100e8e37abb6820818050b46a8722bb5fa1bef76538222af829d09f1a41b83', '089d43de3087baff4aef1e480a5b014693a748b6e6d4e979ea639299d6d4dae2');
INSERT INTO public.entries VALUES (22, 'alias.tampered', '2026-03-02T09:21:00.000000+00:00', 'anna', 'cycle-2', '{"alias":"champion","expected_version":"2","found_version":"3"}', NULL, 1, '089d43de3087baff4aef1e480a5b014693a748b6e6d4e979ea639299d6d4dae2', 'e2b8bbe1a0862511f8d59faf42e6de5c64e6b94e0be38072e04e20478a16ceeb');
INSERT INTO public.entries VALUES (23, 'drift.judged', '2026-03-02T09:22:00.000000+00:00', 'anna', 'cycle-2', '{"baseline_digest":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","drifted_features":["brightness","noise"],"missing_percent":0.5,"num_samples":200,"outcome":"drift","reason":"brightness and noise moved","report":"reports/w-17.html","sources":[],"threshold_digest":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","weights_digest":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","window_id":"w-17"}', NULL, 1, 'e2b8bbe1a0862511f8d59faf42e6de5c64e6b94e0be38072e04e20478a16ceeb', 'f23401622e7c54f63e010152a05406f810948c5e5ee21096a800b87d1b12503b');
INSERT INTO public.entries VALUES (24, 'cycle.closed', '2026-03-02T09:23:00.000000+00:00', 'anna', 'cycle-2', '{"outcome":"promoted","reason":"version 2 serves"}', 'cycle.closed:1', 1, 'f23401622e7c54f63e010152a05406f810948c5e5ee21096a800b87d1b12503b', '10ac5c0c31c6823495615a7b566e7a2301c4f0f61a380fad2f95b2c50252af00');


--
-- Data for Name: leases; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.leases VALUES ('promotion', 'parts-hall/4711/1772442000.00', 1, '0001-01-01T00:00:00.000000+00:00');
INSERT INTO public.leases VALUES ('training', 'parts-hall/4711/1772442000.00', 1, '2026-03-02T09:25:00.000000+00:00');


--
-- Data for Name: rollout_pairs; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.rollout_pairs VALUES (1, 'cycle-2', 'r0', 1, '{"agreement":0.0,"answered_by":"champion","challenger_error":"","challenger_s":0.012,"champion_error":"","champion_s":0.01,"count_shift":0.0,"flip_share":0.0,"latency_s":0.0,"request_id":"r0","rollout":"cycle-2","score_shift":0.0}', '\x789cb550cb0a833010fc973d07592d959abfe8594462083634d91413412bfe7b37d007f458e8616067999d1976037d51ce191acd0472034b3129d226826c3718c2d22febb232a90a1407c691d114d809d04ec5d893f20624d09c4040d461628645c3b319bda1a4920d949d759829b12d5cb1ae11f15ce6037b677d5b56e2d4ed7bf7b510b99cbf3d0d7ead3604f79f6eef90dce815931fc1da30d94f40bd3f00dc7c715a', '\x89504e470d0a1a0a0000000d494844520000000c000000080802000000428689a60000002b49444154789c631411116120049808aa6060606081b3b66cd98226e7e3e3438249442962a49ac389520400d33f038927d4e0720000000049454e44ae426082', 2);
INSERT INTO public.rollout_pairs VALUES (2, 'cycle-2', 'r1', 0.8, '{"agreement":0.2,"answered_by":"champion","challenger_error":"","challenger_s":0.012,"champion_error":"","champion_s":0.01,"count_shift":0.0,"flip_share":0.0,"latency_s":0.0,"request_id":"r1","rollout":"cycle-2","score_shift":0.0}', '\x789cb550cb0a833010fc973d07592d959abfe8594462083634d91413412bfe7b37d007f458e8616067999d1976037d51ce191acd0472034b3129d226826c3718c2d22febb232a90a1407c691d114d809d04ec5d893f20624d09c4040d461628645c3b319bda1a4920d949d759829b12d5cb1ae11f15ce6037b677d5b56e2d4ed7bf7b510b99cbf3d0d7ead3604f79f6eef90dce815931fc1da30d94f40bd3f00dc7c715a', '\x89504e470d0a1a0a0000000d494844520000000c000000080802000000428689a60000002b49444154789c631411116120049808aa6060606081b3b66edd8a26e7eded4d8249442962a49ac389520400d3750389f6895f710000000049454e44ae426082', 2);
INSERT INTO public.rollout_pairs VALUES (3, 'cycle-2', 'r2', 0.6, '{"agreement":0.4,"answered_by":"champion","challenger_error":"","challenger_s":0.012,"champion_error":"","champion_s":0.01,"count_shift":0.0,"flip_share":0.0,"latency_s":0.0,"request_id":"r2","rollout":"cycle-2","score_shift":0.0}', '\x789cb550cb0a833010fc973d07592d959abfe8594462083634d91413412bfe7b37d007f458e8616067999d1976037d51ce191acd0472034b3129d226826c3718c2d22febb232a90a1407c691d114d809d04ec5d893f20624d09c4040d461628645c3b319bda1a4920d949d759829b12d5cb1ae11f15ce6037b677d5b56e2d4ed7bf7b510b99cbf3d0d7ead3604f79f6eef90dce815931fc1da30d94f40bd3f00dc7c715a', NULL, 2);
INSERT INTO public.rollout_pairs VALUES (4, 'cycle-2', 'r3', 2, '{"agreement":0.0,"answered_by":"champion","challenger_error":"out of memory","challenger_s":0.0,"champion_error":"","champion_s":0.0,"count_shift":0.0,"flip_share":0.0,"latency_s":0.0,"request_id":"r3","rollout":"cycle-2","score_shift":0.0}', '\x789c5d4eed0ac3200c7c97fc16b12d85d55729a538719dc3c6a116ecc4775f0a2b1b0b1ce4c27da480be2be70c2e2680c4cd39765cd6a7f508b280c598146a13418e05ae3ecf79cf3b918e0bd6120642cfc54436a7629c51ad0624295d020651fb4054f08176b3ac06934a9f68ed374c940b0fd1f5e29c9b386cf645aef1c29a76aa75fa3bfc561d7f9d65b82520ad0ff65bd3d4376883481b', NULL, 2);


--
-- Name: rollout_pairs_sequence_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.rollout_pairs_sequence_seq', 4, true);


--
-- Name: entries entries_key_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.entries
    ADD CONSTRAINT entries_key_key UNIQUE (key);


--
-- Name: entries entries_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.entries
    ADD CONSTRAINT entries_pkey PRIMARY KEY (sequence);


--
-- Name: leases leases_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.leases
    ADD CONSTRAINT leases_pkey PRIMARY KEY (name);


--
-- Name: rollout_pairs rollout_pairs_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rollout_pairs
    ADD CONSTRAINT rollout_pairs_pkey PRIMARY KEY (sequence);


--
-- Name: rollout_pairs rollout_pairs_rollout_request_id_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rollout_pairs
    ADD CONSTRAINT rollout_pairs_rollout_request_id_key UNIQUE (rollout, request_id);


--
-- Name: ix_entries_cycle; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_entries_cycle ON public.entries USING btree (cycle);


--
-- Name: ix_entries_kind; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_entries_kind ON public.entries USING btree (kind);


--
-- Name: ix_rollout_pairs_rollout; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_rollout_pairs_rollout ON public.rollout_pairs USING btree (rollout);


--
-- PostgreSQL database dump complete
--


