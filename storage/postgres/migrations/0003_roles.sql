-- Six roles.

alter table memberships
    drop constraint memberships_role_check,
    add constraint memberships_role_check
        check (role in ('owner', 'admin', 'editor', 'analyst', 'agent', 'billing'));
