"""The tables of the first release"""

from __future__ import annotations

from softprompt.storage.migrations.first_release import nouns, people, work

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    people.answered_requests()
    people.api_keys()
    people.audit_log()
    people.browser_sessions()
    nouns.datasets()
    nouns.deployment_usage()
    nouns.deployments()
    nouns.evaluations()
    nouns.foundation_models()
    work.jobs()
    nouns.lab_generations()
    work.measurements()
    people.memberships()
    nouns.projects()
    nouns.prompt_sessions()
    work.run_events()
    people.sign_in_links()
    nouns.spaces()
    nouns.tuned_prompts()
    nouns.tuning_experiments()
    work.tuning_runs()
    people.users()
    work.workers()
