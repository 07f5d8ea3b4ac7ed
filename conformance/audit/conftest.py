"""One AWS for all cases, and the results that the runner reads."""

import json
import os

import boto3
import kit
import pytest

results = {"passed": 0, "failed": 0, "skipped": 0}


def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome == "failed" or (report.when == "setup" and report.outcome == "skipped"):
        results[report.outcome] += 1


def pytest_sessionfinish(session):
    with open(os.environ["PINYON_RESULTS"], "w") as out:
        json.dump(dict(results, operations=[], covered=[], host_from="-"), out)


class Aws:
    """A user who may assume one role, which may write one bucket."""

    EXTERNAL_ID = "pinyon-7f3a"

    def __init__(self, url):
        self.url = url
        root = {"endpoint_url": url, "region_name": kit.REGION, "aws_access_key_id": "test", "aws_secret_access_key": "test"}
        self.iam, self.s3, sts = (boto3.client(name, **root) for name in ("iam", "s3", "sts"))
        account = sts.get_caller_identity()["Account"]
        self.s3.create_bucket(Bucket="audit-logs")
        self.s3.create_bucket(Bucket="someone-elses")
        user = self.iam.create_user(UserName="pinyon")["User"]["Arn"]
        made = self.iam.create_access_key(UserName="pinyon")["AccessKey"]
        self.credentials = {"AWS_ACCESS_KEY_ID": made["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"]}
        allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}]}
        self.iam.put_user_policy(UserName="pinyon", PolicyName="assume", PolicyDocument=json.dumps(allow))
        condition = {"StringEquals": {"sts:ExternalId": self.EXTERNAL_ID}}
        self.role = self.make_role("writer", user, condition, "s3:PutObject")
        self.plain_role = self.make_role("writer-without-external-id", user, None, "s3:PutObject")
        self.reader = self.make_role("reader", user, None, "s3:GetObject")
        self.missing = f"arn:aws:iam::{account}:role/nobody"

    def make_role(self, name, user, condition, action):
        statement = {"Effect": "Allow", "Principal": {"AWS": user}, "Action": "sts:AssumeRole"} | ({"Condition": condition} if condition else {})
        trust = {"Version": "2012-10-17", "Statement": [statement]}
        role = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": "arn:aws:s3:::audit-logs/*"}]}
        self.iam.put_role_policy(RoleName=name, PolicyName="bucket", PolicyDocument=json.dumps(allow))
        return role

    def objects(self, prefix=""):
        """Names and bodies, in the order of the names; without the test object."""
        found = []
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket="audit-logs", Prefix=prefix):
            for item in page.get("Contents", []):
                if not item["Key"].endswith("audit-log-access-test"):
                    found.append((item["Key"], self.s3.get_object(Bucket="audit-logs", Key=item["Key"])["Body"].read()))
        return sorted(found)


@pytest.fixture(scope="session")
def aws():
    with kit.Ministack() as ministack:
        yield Aws(ministack.url)


@pytest.fixture
def server(aws, request):
    with kit.Server(request.node.name, aws.url, aws.url, aws.credentials) as started:
        yield started


@pytest.fixture
def trouble():
    with kit.Trouble() as made:
        yield made


@pytest.fixture
def troubled(trouble, request):
    credentials = {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "base-secret-key"}
    with kit.Server(request.node.name, trouble.url, trouble.url, credentials) as started:
        yield started
